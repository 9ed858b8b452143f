// Pictures from the file input.bin, logits to output.bin, text to the console: of QEMU, or of a
// board with a debugger (OpenOCD: `arm semihosting enable`). Without one there is nothing to do.
#include "app/io.h"
#include "app/semihosting.h"
#include "mcuformer.h"

namespace mcuformer {
namespace {

int input_file = -1;
int output_file = -1;

}  // namespace

bool IoBegin() {
  if (!semihosting::Attached()) return false;
  input_file = semihosting::Open("input.bin", semihosting::Mode::kRead);
  output_file = semihosting::Open("output.bin", semihosting::Mode::kWrite);
  if (input_file < 0 || output_file < 0) {
    IoWrite("input.bin or output.bin cannot be opened in the folder that serves this program");
    return false;
  }
  return true;
}

bool IoReadRows(void*, int, int rows, int8_t* pixels) {
  const size_t size = static_cast<size_t>(rows) * MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS;
  return semihosting::Read(input_file, pixels, size) == size;
}

bool IoWriteOutput(const int8_t* output, int size) {
  return semihosting::Write(output_file, output, static_cast<size_t>(size));
}

void IoWrite(const char* text) {
  if (semihosting::Attached()) semihosting::Print(text);
}

void IoEnd(int status) {
  if (semihosting::Attached()) semihosting::Exit(status);
}

}  // namespace mcuformer
