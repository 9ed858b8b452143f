// Memory protection unit of ARMv7-M (Architecture Reference Manual, B3.5): regions of a power of
// two bytes, each divided into eight; where regions overlap, the higher number holds.
#include "board/board.h"

extern "C" uint8_t __flash_origin[], __flash_length[], __external_flash_origin[],
    __external_flash_length[], __core_ram_origin[], __core_ram_length[], __arena_ram_origin[],
    __arena_ram_length[], __arena_guard_before[], __arena_guard_after[], __stack_guard[];

namespace mcuformer {
namespace {

constexpr uintptr_t kControl = 0xE000ED94, kNumber = 0xE000ED98, kBase = 0xE000ED9C,
                    kAttributes = 0xE000EDA0;
constexpr uint32_t kGuardBytes = 256, kEighthOfGuard = kGuardBytes / 8;

// Access permission, execute never, memory type (normal write back, or device).
constexpr uint32_t kNormal = 1U << 19 | 1U << 17 | 1U << 16;
constexpr uint32_t kCode = 6U << 24 | kNormal;
constexpr uint32_t kConstants = 1U << 28 | kCode;
constexpr uint32_t kData = 1U << 28 | 3U << 24 | kNormal;
constexpr uint32_t kDevices = 1U << 28 | 3U << 24 | 1U << 16;
constexpr uint32_t kClosed = 1U << 28;

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

// The smallest region that begins at `start`, its eighths beyond `size` switched off. Memories
// begin at multiples of their size rounded up to a power of two, and are whole eighths of it.
void Open(uint32_t start, uint32_t size, uint32_t attributes) {
  uint32_t log2 = 5;
  while (log2 < 32 && (uint64_t{1} << log2) < size) ++log2;
  const uint32_t eighth = 1U << (log2 - 3);
  uint32_t disabled = 0;
  // Regions under 256 bytes have no eighths.
  if (log2 >= 8) {
    for (uint32_t i = 0; i < 8; ++i) disabled |= (i * eighth >= size ? 1U : 0U) << i;
  }
  SetRegion(start, log2, attributes, disabled);
}

// Closes a guard that begins at a multiple of an eighth of its bytes: the arena ends at any, so
// a guard is the end of one region and the start of the next.
void Close(uint32_t start) {
  constexpr uint32_t kLog2 = 8;
  static_assert(kGuardBytes == 1U << kLog2, "a region's bytes are a power of two");
  const uint32_t before = start % kGuardBytes;
  const uint32_t outside = (1U << before / kEighthOfGuard) - 1;
  SetRegion(start - before, kLog2, kClosed, outside);
  if (before > 0) SetRegion(start - before + kGuardBytes, kLog2, kClosed, ~outside & 0xFF);
}

uint32_t Value(const uint8_t* symbol) { return reinterpret_cast<uintptr_t>(symbol); }

}  // namespace

void ProtectMemory() {
  next_region = 0;
  Open(Value(__flash_origin), Value(__flash_length), kCode);
  if (Value(__external_flash_origin) != Value(__flash_origin)) {
    Open(Value(__external_flash_origin), Value(__external_flash_length), kConstants);
  }
  Open(Value(__arena_ram_origin), Value(__arena_ram_length), kData);
  if (Value(__core_ram_origin) != Value(__arena_ram_origin)) {
    Open(Value(__core_ram_origin), Value(__core_ram_length), kData);
  }
  Open(0x40000000, 0x20000000, kDevices);
  // With these, up to eight regions: as many as there are.
  Close(Value(__arena_guard_before));
  Close(Value(__arena_guard_after));
  Close(Value(__stack_guard));
  // On, also during faults' handlers off, and no access beside the regions.
  asm volatile("dmb" ::: "memory");
  Register(kControl) = 1;
  asm volatile("dsb\n isb" ::: "memory");
}

}  // namespace mcuformer
