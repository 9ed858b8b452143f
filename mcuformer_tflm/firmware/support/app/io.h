// The application's hooks to the outside: camera, UART. app/semihosting_io.cc is one set, a
// board's own is another (docs/firmware.md shows one); CMake's MCUFORMER_IO names the source.
#ifndef MCUFORMER_APP_IO_H_
#define MCUFORMER_APP_IO_H_

#include <cstdint>

namespace mcuformer {

// Starts the devices. False if there is nobody to work for.
bool IoBegin();

// Camera: a `mcuformer_read_rows` (mcuformer.h). False at row 0: no more pictures.
bool IoReadRows(void* context, int row, int rows, int8_t* pixels);

// Takes the logits of one picture.
bool IoWriteOutput(const int8_t* output, int size);

// UART: one line of text, without its end. Faults are told by it, even before IoBegin.
void IoWrite(const char* text);

// The program has ended: 0 well, 1 the model refused, 2 a fault.
void IoEnd(int status);

}  // namespace mcuformer

#endif  // MCUFORMER_APP_IO_H_
