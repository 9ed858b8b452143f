// Where a model that reads its image in strips gets the strips from.
#ifndef MCUFORMER_TFLM_INPUT_SOURCE_H_
#define MCUFORMER_TFLM_INPUT_SOURCE_H_

#include <cstdint>

#include "tflm/tflm.h"

namespace mcuformer {

// read(context, row, rows, pixels) fills int8[rows, width, channels] with the image's rows from
// `row` on, and tells whether it could (kernels/patch_embed.h). An application gives TFLM's
// interpreter a pointer to one with SetMicroExternalContext; with the Python wheel, whose
// interpreter has no such call, McuformerSetInputSource names it.
struct InputSource {
  bool (*read)(void* context, int row, int rows, int8_t* pixels);
  void* context;
};

// Null where none is set.
const InputSource* GetInputSource(TfLiteContext* context);

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_INPUT_SOURCE_H_
