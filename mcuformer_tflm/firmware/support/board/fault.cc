// Faults, told in one line: which, where, and at which address.
#include "app/io.h"
#include "app/text.h"
#include "board/board.h"

extern "C" {
extern uint8_t __arena_guard_before[], __arena_start[], __arena_end[], __stack_guard[],
    __stack_bottom[], __flash_origin[], __flash_length[], __external_flash_origin[],
    __external_flash_length[];
void mcuformer_tell_fault(const uint32_t* frame);
void mcuformer_fault_entry();
}

namespace mcuformer {

[[noreturn]] void Stop(int status) {
  IoEnd(status);
  for (;;) asm volatile("wfi");
}

namespace {

constexpr uint32_t kGuardBytes = 256;

uint32_t Register(uintptr_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }

bool Within(uint32_t address, const uint8_t* start, uint32_t size) {
  return address - reinterpret_cast<uintptr_t>(start) < size;
}

uint32_t Value(const uint8_t* symbol) { return reinterpret_cast<uintptr_t>(symbol); }

const char* Place(uint32_t address) {
  if (Within(address, __arena_guard_before, kGuardBytes)) return "the guard before the arena";
  if (Within(address, __arena_end, kGuardBytes)) return "the guard after the arena";
  if (Within(address, __stack_guard, kGuardBytes)) return "the guard below the stack";
  if (Within(address, __flash_origin, Value(__flash_length))) return "flash";
  if (Within(address, __external_flash_origin, Value(__external_flash_length))) {
    return "external flash";
  }
  return "no memory of the program";
}

}  // namespace
}  // namespace mcuformer

extern "C" {

alignas(8) static uint8_t mcuformer_fault_stack[1024];
extern const void* const mcuformer_fault_stack_top;
const void* const mcuformer_fault_stack_top = mcuformer_fault_stack + sizeof(mcuformer_fault_stack);

__attribute__((weak)) void mcuformer_fault(const char* text) {
  mcuformer::IoWrite(text);
  mcuformer::Stop(2);
}

// The stack may be what overflowed: faults have their own.
__attribute__((naked)) void mcuformer_fault_entry() {
  asm volatile(
      "mrs r0, msp\n"
      "ldr r1, =mcuformer_fault_stack_top\n"
      "ldr r1, [r1]\n"
      "msr msp, r1\n"
      "b mcuformer_tell_fault");
}

__attribute__((used)) void mcuformer_tell_fault(const uint32_t* frame) {
  using namespace mcuformer;
  constexpr uintptr_t kStatus = 0xE000ED28, kMemoryAddress = 0xE000ED34, kBusAddress = 0xE000ED38;
  const uint32_t status = Register(kStatus);
  uint32_t exception;
  asm volatile("mrs %0, ipsr" : "=r"(exception));
  // The last is ARMv8-M's.
  static const char* const kNames[] = {"memory management", "bus", "usage", "security"};
  Text line;
  line.Add("fault: ");
  line.Add(exception >= 4 && exception <= 7 ? kNames[exception - 4] : "hard");
  // The frame was pushed unless that itself failed (MSTKERR, STKERR).
  if ((status & (1U << 4 | 1U << 12)) == 0) {
    line.Add(", at pc ");
    line.AddHex(frame[6]);
  } else {
    line.Add(", the stack overflowed into the guard below it");
  }
  const bool memory = (status & 1U << 7) != 0;
  if (memory || (status & 1U << 15) != 0) {
    const uint32_t address = Register(memory ? kMemoryAddress : kBusAddress);
    line.Add(", access to ");
    line.AddHex(address);
    line.Add(" in ");
    line.Add(Place(address));
  }
  mcuformer_fault(line.text());
}

}  // extern "C"
