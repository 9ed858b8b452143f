// How deep the stack has grown: it is painted at reset, and what lost its paint was used.
#include "board/board.h"

extern "C" uint32_t __stack_bottom[], __stack_top[];

namespace mcuformer {
namespace {

constexpr uint32_t kPaint = 0xA5A5A5A5;

}  // namespace

void PaintStack() {
  volatile uint32_t* here;
  asm volatile("mov %0, sp" : "=r"(here));
  // Volatile, so that no memset takes the loop's place, whose own frame would be painted over.
  for (volatile uint32_t* word = __stack_bottom; word < here; ++word) *word = kPaint;
}

size_t StackHighWater() {
  const uint32_t* word = __stack_bottom;
  while (word < __stack_top && *word == kPaint) ++word;
  return static_cast<size_t>(__stack_top - word) * sizeof(uint32_t);
}

size_t StackBytes() { return static_cast<size_t>(__stack_top - __stack_bottom) * sizeof(uint32_t); }

}  // namespace mcuformer
