// Classifies pictures until there are no more, and tells how much stack that took.
#include "app/io.h"
#include "app/text.h"
#include "board/board.h"
#include "mcuformer.h"

int main() {
  if (!mcuformer::IoBegin()) return 1;
  if (!mcuformer_init()) {
    mcuformer::IoWrite("mcuformer_init failed: the model's constants are not as they were linked");
    return 1;
  }
  static int8_t output[MCUFORMER_OUTPUT_BYTES];
  uint32_t pictures = 0;
  while (mcuformer_run_rows(mcuformer::IoReadRows, nullptr, output)) {
    if (!mcuformer::IoWriteOutput(output, MCUFORMER_OUTPUT_BYTES)) {
      mcuformer::IoWrite("the output could not be written");
      return 1;
    }
    ++pictures;
  }
  mcuformer::Text line;
  line.AddNumber(pictures);
  line.Add(" pictures; stack: ");
  line.AddNumber(mcuformer::StackHighWater());
  line.Add(" of ");
  line.AddNumber(mcuformer::StackBytes());
  line.Add(" bytes used");
  mcuformer::IoWrite(line.text());
  return 0;
}
