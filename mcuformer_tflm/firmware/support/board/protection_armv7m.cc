// Memory protection unit of ARMv7-M (Architecture Reference Manual, B3.5): regions of a power of
// two bytes, each divided into eight; where regions overlap, the higher number holds.
#include "board/board.h"
#include "board_shape.h"

extern "C" uint8_t __arena_guard_before[], __arena_guard_after[], __stack_guard[];

namespace mcuformer {
namespace {

constexpr uintptr_t kControl = 0xE000ED94, kNumber = 0xE000ED98, kBase = 0xE000ED9C,
                    kAttributes = 0xE000EDA0;
constexpr uint32_t kGuardBytes = 256, kEighthOfGuard = kGuardBytes / 8;

// Execute never, access permission, memory type (normal write back, or device).
constexpr uint32_t kNever = 1U << 28, kReadOnly = 6U << 24, kReadWrite = 3U << 24;
constexpr uint32_t kNormal = 1U << 19 | 1U << 17 | 1U << 16, kDevice = 1U << 16;
constexpr uint32_t kClosed = kNever;

constexpr uint32_t Attributes(Access access) {
  switch (access) {
    case kCode:
      return kReadOnly | kNormal;
    case kConstants:
      return kNever | kReadOnly | kNormal;
    case kData:
      return kNever | kReadWrite | kNormal;
    default:
      return kNever | kReadWrite | kDevice;
  }
}

volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

uint32_t next_region;

// A region's first byte is a multiple of its size. Bit i of `disabled` switches eighth i off.
void SetRegion(uint32_t start, uint32_t log2_bytes, uint32_t attributes, uint32_t disabled) {
  Register(kNumber) = next_region++;
  Register(kBase) = start;
  Register(kAttributes) = attributes | disabled << 8 | (log2_bytes - 1) << 1 | 1U;
}

// Closes a guard that begins at a multiple of an eighth of its bytes: the arena ends at any, so
// a guard is the end of one region and the start of the next.
void Close(const uint8_t* guard) {
  constexpr uint32_t kLog2 = 8;
  static_assert(kGuardBytes == 1U << kLog2, "a region's bytes are a power of two");
  const uint32_t start = reinterpret_cast<uintptr_t>(guard);
  const uint32_t before = start % kGuardBytes;
  const uint32_t outside = (1U << before / kEighthOfGuard) - 1;
  SetRegion(start - before, kLog2, kClosed, outside);
  if (before > 0) SetRegion(start - before + kGuardBytes, kLog2, kClosed, ~outside & 0xFF);
}

}  // namespace

void ProtectMemory() {
  next_region = 0;
  for (const Protected& memory : kProtected) {
    SetRegion(memory.base, memory.log2_bytes, Attributes(memory.access), memory.disabled);
  }
  // Up to eight regions with these: as many as there are (board.ld aligns the arena's end so).
  Close(__arena_guard_before);
  Close(__arena_guard_after);
  Close(__stack_guard);
  // On, also during faults' handlers off, and no access beside the regions.
  asm volatile("dmb" ::: "memory");
  Register(kControl) = 1;
  asm volatile("dsb\n isb" ::: "memory");
}

}  // namespace mcuformer
