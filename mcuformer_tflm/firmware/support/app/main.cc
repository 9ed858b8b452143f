// Classifies pictures until there are no more, and tells how much stack that took.
#include "app/io.h"
#include "app/profile.h"
#include "app/text.h"
#include "board/board.h"
#include "mcuformer.h"

namespace {

int Fail(const char* what, const char* why) {
  mcuformer::Text line;
  line.Add(what);
  line.Add(why);
  mcuformer::IoWrite(line.text());
  return 1;
}

}  // namespace

int main() {
  if (!mcuformer::IoBegin()) return 1;
  if (!mcuformer_init()) return Fail("mcuformer_init failed: ", mcuformer_error());
  static int8_t output[MCUFORMER_OUTPUT_BYTES];
  uint32_t pictures = 0;
  mcuformer::BeginProfile();
  while (mcuformer_run_rows(mcuformer::ReadRowsProfiled, nullptr, output)) {
    mcuformer::WriteProfile();
    if (!mcuformer::IoWriteOutput(output, MCUFORMER_OUTPUT_BYTES)) {
      return Fail("the output could not be written", "");
    }
    ++pictures;
  }
  if (mcuformer_error()[0] != '\0') return Fail("mcuformer_run_rows failed: ", mcuformer_error());
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
