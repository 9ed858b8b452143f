// Semihosting (Arm, "Semihosting for AArch32 and AArch64"): a debugger or QEMU serves files and
// text to the program. Without either, the calls would stop the core: ask Attached() first.
#ifndef MCUFORMER_APP_SEMIHOSTING_H_
#define MCUFORMER_APP_SEMIHOSTING_H_

#include <cstddef>
#include <cstdint>

namespace mcuformer {
namespace semihosting {

bool Attached();

// A file of the machine that serves; -1 if it cannot be opened.
enum class Mode : uint32_t { kRead = 1, kWrite = 5 };
int Open(const char* path, Mode mode);
// Bytes that were read.
size_t Read(int file, void* data, size_t size);
bool Write(int file, const void* data, size_t size);
void Print(const char* text);
// The arguments that QEMU was given, or an empty text.
const char* CommandLine();
[[noreturn]] void Exit(int status);

}  // namespace semihosting
}  // namespace mcuformer

#endif  // MCUFORMER_APP_SEMIHOSTING_H_
