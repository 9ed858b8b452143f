// Hooks of a program that goes astray once: where is told on its command line.
#include <cstring>

#include "app/io.h"
#include "app/semihosting.h"

extern "C" uint8_t __arena_start[], __arena_end[], __flash_origin[], __flash_length[],
    __external_flash_origin[], __stack_bottom[], __arena_ram_origin[], __arena_ram_length[];

namespace {

// Keeps the compiler from knowing what an address points at.
volatile uint8_t* Opaque(uintptr_t address) {
  asm volatile("" : "+r"(address));
  return reinterpret_cast<volatile uint8_t*>(address);
}

uintptr_t Value(const uint8_t* symbol) { return reinterpret_cast<uintptr_t>(symbol); }

__attribute__((noinline)) int Recurse(int depth) {
  volatile int here[16] = {depth};
  return depth == 0 ? 0 : Recurse(depth - 1) + here[0];
}

void GoAstray(const char* where) {
  const auto is = [where](const char* name) { return std::strcmp(where, name) == 0; };
  if (is("first_byte_of_arena")) *Opaque(Value(__arena_start)) = 1;
  if (is("last_byte_of_arena")) *Opaque(Value(__arena_end) - 1) = 1;
  if (is("byte_before_arena")) *Opaque(Value(__arena_start) - 1) = 1;
  if (is("byte_after_arena")) *Opaque(Value(__arena_end)) = 1;
  if (is("last_byte_of_guard")) *Opaque(Value(__arena_end) + 255) = 1;
  if (is("byte_after_guard")) *Opaque(Value(__arena_end) + 256) = 1;
  if (is("flash")) *Opaque(Value(__flash_origin) + 0x400) = 1;
  if (is("external_flash")) *Opaque(Value(__external_flash_origin)) = 1;
  if (is("byte_after_flash")) *Opaque(Value(__flash_origin) + Value(__flash_length)) = 1;
  if (is("read_after_ram")) {
    (void)*Opaque(Value(__arena_ram_origin) + Value(__arena_ram_length));
  }
  if (is("code_in_ram")) {
    static uint16_t code[] = {0x4770, 0x4770};  // bx lr
    reinterpret_cast<void (*)()>(reinterpret_cast<uintptr_t>(code) | 1)();
  }
  if (is("code_in_external_flash")) {
    reinterpret_cast<void (*)()>(Value(__external_flash_origin) | 1)();
  }
  if (is("pended_security_fault")) {
    // System handler control and state of ARMv8-M: SECUREFAULTPENDED.
    auto& handlers = *reinterpret_cast<volatile uint32_t*>(0xE000ED24);
    handlers = handlers | 1U << 20;
  }
  if (is("byte_below_stack")) *Opaque(Value(__stack_bottom) - 1) = 1;
  if (is("deep_recursion")) Recurse(1000);
}

}  // namespace

namespace mcuformer {

bool IoBegin() {
  const char* line = semihosting::CommandLine();
  const char* last = std::strrchr(line, ' ');
  GoAstray(last == nullptr ? line : last + 1);
  semihosting::Print("went on");
  return true;
}
bool IoReadRows(void*, int, int, int8_t*) { return false; }
bool IoWriteOutput(const int8_t*, int) { return true; }
void IoWrite(const char* text) { semihosting::Print(text); }
void IoEnd(int status) { semihosting::Exit(status); }

}  // namespace mcuformer
