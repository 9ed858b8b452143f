// Pictures from the file input.bin, logits to output.bin, text to the console: of QEMU, or of a
// board with a debugger (OpenOCD: `arm semihosting enable`). Without one there is nothing to do.
#include <cstring>

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
  // Not straight into the arena: QEMU drops what it reads for a kilobyte of memory that begins
  // in a guard, and does not say so.
  static int8_t row[MCUFORMER_IMAGE_WIDTH * MCUFORMER_IMAGE_CHANNELS];
  for (; rows > 0; --rows, pixels += sizeof(row)) {
    if (semihosting::Read(input_file, row, sizeof(row)) != sizeof(row)) return false;
    std::memcpy(pixels, row, sizeof(row));
  }
  return true;
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
