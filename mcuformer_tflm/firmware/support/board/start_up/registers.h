// What start-up sources share: registers, and waits that end. Start-up runs before .data and .bss
// hold anything, so nothing here or there has a variable that outlives its function.
#ifndef MCUFORMER_BOARD_START_UP_REGISTERS_H_
#define MCUFORMER_BOARD_START_UP_REGISTERS_H_

#include <cstdint>

namespace mcuformer {

inline volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

// Replaces the bits of `mask`; the others stay, reserved ones among them.
inline void Write(uintptr_t address, uint32_t mask, uint32_t value) {
  Register(address) = (Register(address) & ~mask) | value;
}

inline void Set(uintptr_t address, uint32_t bits) { Write(address, bits, bits); }

// Gives a device its clock, and reads that back: it answers two cycles later.
inline void EnableClock(uintptr_t address, uint32_t bits) {
  Set(address, bits);
  [[maybe_unused]] const uint32_t enabled = Register(address);
}

// Reads until the bits of `mask` are `value`. False if they never are: each read takes four cycles
// or more, so that it gives up after no less than 12 ms at 16 MHz, 3 ms at 64 MHz, 0.9 ms at
// 216 MHz, several times what the data sheets allow an oscillator, a PLL or a regulator.
inline bool Await(uintptr_t address, uint32_t mask, uint32_t value) {
  constexpr uint32_t kReads = 50'000;
  for (uint32_t i = 0; i < kReads; ++i) {
    if ((Register(address) & mask) == value) return true;
  }
  return false;
}

}  // namespace mcuformer

#endif  // MCUFORMER_BOARD_START_UP_REGISTERS_H_
