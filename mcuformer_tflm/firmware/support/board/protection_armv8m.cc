// Memory protection unit of ARMv8-M (Architecture Reference Manual, B9): regions from any multiple
// of 32 bytes to any other, which must not overlap. So a guard is a gap between two regions.
#include "board/board.h"
#include "board_shape.h"

extern "C" uint8_t __arena_guard_before[], __arena_guard_after[], __stack_guard[];

namespace mcuformer {
namespace {

constexpr uintptr_t kControl = 0xE000ED94, kNumber = 0xE000ED98, kBase = 0xE000ED9C,
                    kLimit = 0xE000EDA0, kAttributes = 0xE000EDC0;
constexpr uint32_t kGuardBytes = 256;

// In the base: access permission, execute never. In the limit: index of the memory type.
constexpr uint32_t kReadWrite = 1U << 1, kReadOnly = 3U << 1, kNever = 1U;
constexpr uint32_t kNormal = 0U << 1, kDevice = 1U << 1;
// The two types: normal write back, allocating; device nGnRE.
constexpr uint32_t kTypes = 0x04U << 8 | 0xFFU;

constexpr uint32_t Permission(Access access) {
  switch (access) {
    case kCode:
      return kReadOnly;
    case kConstants:
      return kReadOnly | kNever;
    default:
      return kReadWrite | kNever;
  }
}

volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

uint32_t next_region;

// The first byte is a multiple of 32, the last is one before such a multiple.
void Open(uint32_t first, uint32_t last, uint32_t permission, uint32_t type) {
  Register(kNumber) = next_region++;
  Register(kBase) = first | permission;
  Register(kLimit) = (last & ~31U) | type | 1U;
}

// All of a memory but the guards in it, which come in order.
void OpenBetweenGuards(const Protected& memory, const uint32_t (&guards)[3]) {
  uint32_t first = memory.first;
  const uint32_t permission = Permission(memory.access);
  const uint32_t type = memory.access == kDevices ? kDevice : kNormal;
  for (const uint32_t guard : guards) {
    if (guard < first || guard > memory.last) continue;
    if (guard > first) Open(first, guard - 1, permission, type);
    first = guard + kGuardBytes;
  }
  if (first - 1 < memory.last) Open(first, memory.last, permission, type);
}

uint32_t Value(const uint8_t* symbol) { return reinterpret_cast<uintptr_t>(symbol); }

}  // namespace

void ProtectMemory() {
  next_region = 0;
  Register(kAttributes) = kTypes;
  // In one memory the stack lies below the arena (sections.ld).
  const uint32_t guards[] = {Value(__stack_guard), Value(__arena_guard_before),
                             Value(__arena_guard_after)};
  for (const Protected& memory : kProtected) OpenBetweenGuards(memory, guards);
  // On, also during faults' handlers off, and no access beside the regions.
  asm volatile("dmb" ::: "memory");
  Register(kControl) = 1;
  asm volatile("dsb\n isb" ::: "memory");
}

}  // namespace mcuformer
