#include "app/semihosting.h"

#include <cstring>

#include "board_shape.h"

namespace mcuformer {
namespace semihosting {
namespace {

constexpr uint32_t kOpen = 0x01, kWriteText = 0x04, kWriteFile = 0x05, kReadFile = 0x06,
                   kGetCommandLine = 0x15, kExit = 0x20;
constexpr uint32_t kApplicationExit = 0x20026;

uint32_t Call(uint32_t operation, const void* argument) {
  register uint32_t r0 asm("r0") = operation;
  register const void* r1 asm("r1") = argument;
  asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

uint32_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

bool Attached() {
#ifdef MCUFORMER_EMULATED
  return true;
#else
  // Debug halting control and status: C_DEBUGEN.
  return (*reinterpret_cast<volatile uint32_t*>(0xE000EDF0) & 1) != 0;
#endif
}

int Open(const char* path, Mode mode) {
  const uint32_t arguments[] = {Address(path), static_cast<uint32_t>(mode),
                                static_cast<uint32_t>(std::strlen(path))};
  return static_cast<int>(Call(kOpen, arguments));
}

size_t Read(int file, void* data, size_t size) {
  const uint32_t arguments[] = {static_cast<uint32_t>(file), Address(data), size};
  const uint32_t missing = Call(kReadFile, arguments);
  return missing <= size ? size - missing : 0;
}

bool Write(int file, const void* data, size_t size) {
  const uint32_t arguments[] = {static_cast<uint32_t>(file), Address(data), size};
  return Call(kWriteFile, arguments) == 0;
}

void Print(const char* text) {
  Call(kWriteText, text);
  Call(kWriteText, "\n");
}

const char* CommandLine() {
  static char line[128];
  uint32_t arguments[] = {Address(line), sizeof(line)};
  return Call(kGetCommandLine, arguments) == 0 ? line : "";
}

[[noreturn]] void Exit(int status) {
  const uint32_t arguments[] = {kApplicationExit, static_cast<uint32_t>(status)};
  Call(kExit, arguments);
  for (;;) asm volatile("wfi");
}

}  // namespace semihosting
}  // namespace mcuformer
