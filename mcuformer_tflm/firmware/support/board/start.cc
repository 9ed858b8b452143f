// From reset to main: vectors, .data, .bss, floating-point unit, caches, guards, constructors.
#include <cstring>
#include <new>

#include "board/board.h"
#include "board_shape.h"

int main();

namespace mcuformer {
void PaintStack();
[[noreturn]] void Stop(int status);
}  // namespace mcuformer

extern "C" {

extern uint32_t __stack_top[];
extern uint8_t __data_start[], __data_end[], __data_load[], __bss_start[], __bss_end[];
using Constructor = void (*)();
extern Constructor __init_array_start[], __init_array_end[];

void mcuformer_reset();
void mcuformer_fault_entry();
void mcuformer_interrupt_entry();

__attribute__((weak)) void mcuformer_interrupt(int) { mcuformer_fault("unexpected interrupt"); }

// Nothing is destroyed on a microcontroller.
void* __dso_handle = nullptr;
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
[[noreturn]] void abort() { mcuformer_fault("abort"); }
[[noreturn]] void __cxa_pure_virtual() { mcuformer_fault("pure virtual call"); }

}  // extern "C"

// There is no heap: what has a virtual destructor still names this.
void operator delete(void*) noexcept { mcuformer_fault("delete"); }
void operator delete(void*, size_t) noexcept { mcuformer_fault("delete"); }

namespace {

constexpr int kSystemExceptions = 16;
using mcuformer::kInterrupts;

union Vector {
  void (*handler)();
  const void* stack;
};

struct VectorTable {
  Vector entries[kSystemExceptions + kInterrupts];
};

constexpr VectorTable MakeVectors() {
  VectorTable table = {};
  table.entries[0].stack = __stack_top;
  table.entries[1].handler = mcuformer_reset;
  for (int i = 2; i < kSystemExceptions; ++i) table.entries[i].handler = mcuformer_fault_entry;
  for (int i = 0; i < kInterrupts; ++i) {
    table.entries[kSystemExceptions + i].handler = mcuformer_interrupt_entry;
  }
  return table;
}

__attribute__((section(".vectors"), used)) constexpr VectorTable kVectors = MakeVectors();

volatile uint32_t& Register(uintptr_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}

constexpr uintptr_t kVectorTableOffset = 0xE000ED08;
constexpr uintptr_t kConfiguration = 0xE000ED14;
constexpr uintptr_t kFaultHandlers = 0xE000ED24;
constexpr uintptr_t kCoprocessorAccess = 0xE000ED88;

void EnableFloatingPoint() {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  Register(kCoprocessorAccess) = Register(kCoprocessorAccess) | 0xFU << 20;
  asm volatile("dsb\n isb" ::: "memory");
#endif
}

void EnableCaches() {
#ifdef MCUFORMER_HAS_CACHES
  constexpr uintptr_t kInvalidateInstructions = 0xE000EF50, kInvalidateSetWay = 0xE000EF60;
  constexpr uintptr_t kCacheSize = 0xE000ED80, kCacheSelect = 0xE000ED84;
  Register(kInvalidateInstructions) = 0;
  Register(kCacheSelect) = 0;
  asm volatile("dsb" ::: "memory");
  const uint32_t size = Register(kCacheSize);
  const uint32_t sets = (size >> 13) & 0x7FFF, ways = (size >> 3) & 0x3FF;
  // Four ways of lines of 32 bytes, as in every Cortex-M7 and M55.
  for (uint32_t set = 0; set <= sets; ++set) {
    for (uint32_t way = 0; way <= ways; ++way) {
      Register(kInvalidateSetWay) = set << 5 | way << 30;
    }
  }
  asm volatile("dsb" ::: "memory");
  Register(kConfiguration) = Register(kConfiguration) | 1U << 17 | 1U << 16;
#ifdef __ARM_FEATURE_MVE
  // Of ARMv8.1-M: what it knows of loops and branches.
  Register(kConfiguration) = Register(kConfiguration) | 1U << 19;
#endif
  asm volatile("dsb\n isb" ::: "memory");
#endif
}

}  // namespace

// Not even the stack may be written to before the board is set up: RAM may be without a valid
// supply (STM32H7).
extern "C" __attribute__((naked)) void mcuformer_reset() {
  asm volatile(
      ".weak mcuformer_board_init\n"
      "ldr r0, =mcuformer_board_init\n"
      "cbz r0, 1f\n"
      "blx r0\n"
      "1: b mcuformer_start");
}

extern "C" [[noreturn]] __attribute__((used)) void mcuformer_start(const char* failure) {
  Register(kVectorTableOffset) = reinterpret_cast<uintptr_t>(&kVectors);
  // Memory management, bus, usage and, in ARMv8-M, security faults have vectors of their own, so
  // that the cause is told.
#if __ARM_ARCH >= 8
  Register(kFaultHandlers) = Register(kFaultHandlers) | 15U << 16;
#else
  Register(kFaultHandlers) = Register(kFaultHandlers) | 7U << 16;
#endif
  EnableFloatingPoint();
  std::memcpy(__data_start, __data_load, static_cast<size_t>(__data_end - __data_start));
  std::memset(__bss_start, 0, static_cast<size_t>(__bss_end - __bss_start));
  mcuformer::PaintStack();
  mcuformer::ProtectMemory();
  EnableCaches();
  for (Constructor* constructor = __init_array_start; constructor != __init_array_end;
       ++constructor) {
    (*constructor)();
  }
  if (failure != nullptr) mcuformer_fault(failure);
  mcuformer::Stop(main());
}

// The exception's number is its interrupt's plus 16.
extern "C" void mcuformer_interrupt_entry() {
  uint32_t exception;
  asm volatile("mrs %0, ipsr" : "=r"(exception));
  mcuformer_interrupt(static_cast<int>(exception) - kSystemExceptions);
}
