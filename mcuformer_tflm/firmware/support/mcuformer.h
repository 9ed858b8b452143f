/* The model, as an application sees it. Both firmwares provide it: the ahead-of-time one in
   model.cc, the one with TFLM's interpreter in model_tflm.cc. */
#ifndef MCUFORMER_H_
#define MCUFORMER_H_

#include <stdbool.h>
#include <stdint.h>

/* MCUFORMER_IMAGE_HEIGHT, _WIDTH, _CHANNELS, MCUFORMER_OUTPUT_BYTES; of each output by its name
   MCUFORMER_OUTPUT_<NAME>_OFFSET, _BYTES, _SCALE, _ZERO_POINT; which .tflite it is of:
   MCUFORMER_MODEL_BYTES, MCUFORMER_MODEL_CHECKSUM */
#include "model_shape.h"

#define MCUFORMER_IMAGE_BYTES \
  (MCUFORMER_IMAGE_HEIGHT * MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS)

#ifdef __cplusplus
extern "C" {
#endif

/* Puts the rows [row, row + rows) of a picture into `pixels`: int8, a camera's byte minus 128,
   channels interleaved. Asked for each row once and in order; row 0 starts a picture. False ends
   the run. */
typedef bool (*mcuformer_read_rows)(void* context, int row, int rows, int8_t* pixels);

/* Once, before any run. False where the model cannot run: its constants are not in flash as they
   were linked (an external flash not written or not mapped), or the interpreter refuses. */
bool mcuformer_init(void);

/* Why the last call of mcuformer_init, mcuformer_run or mcuformer_run_rows failed, in one line.
   Never null; empty where it did not fail, or failed since there was no picture. */
const char* mcuformer_error(void);

/* input: int8[MCUFORMER_IMAGE_BYTES]. output: int8[MCUFORMER_OUTPUT_BYTES] logits; of a model of
   several outputs one behind the other, each at its offset. Integers of 16 bits are copied out by
   memcpy, since their offset may be odd. False where the model cannot run. */
bool mcuformer_run(const int8_t* input, int8_t* output);

/* The same with the picture taken row by row, so that it needs no memory of its own beside the
   arena: hand a camera's strips over as they come. */
bool mcuformer_run_rows(mcuformer_read_rows read, void* context, int8_t* output);

#ifdef __cplusplus
}
#endif

#endif /* MCUFORMER_H_ */
