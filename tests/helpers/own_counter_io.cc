// Hooks of a program with a counter of its own: its n-th reading lies 1000 n after the one before,
// and it passes 2^32 soon. "none" on the command line takes the counter away, "still" stops it.
#include <cstring>

#include "app/semihosting_io.cc"
#include "board/cycles.h"

namespace {

bool Told(const char* word) {
  return std::strstr(mcuformer::semihosting::CommandLine(), word) != nullptr;
}

bool stands_still = false;

}  // namespace

extern "C" bool mcuformer_cycles_begin(const char** text) {
  stands_still = Told("still");
  *text = Told("none") ? "it is not here" : "readings";
  return !Told("none");
}

extern "C" uint32_t mcuformer_cycles() {
  static uint32_t now = 0xFFFFF000, step = 0;
  if (!stands_still) now += step += 1000;
  return now;
}
