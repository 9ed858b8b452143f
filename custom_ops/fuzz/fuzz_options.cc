// Feeds the option parser a name and bytes: a length, the name, the rest are the options.
#include <cstdlib>
#include <cstring>

#include "tflm/options.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t length = data[0] < size ? data[0] : size - 1;
  char name[256];
  std::memcpy(name, data + 1, length);
  name[length] = '\0';
  data += 1 + length;
  size -= 1 + length;
  // A copy of exactly this size, so that a sanitizer sees any byte read beyond it.
  void* options = std::malloc(size);
  if (size != 0) std::memcpy(options, data, size);
  int32_t value = 0;
  mcuformer::Options(options, size).Get(name, &value);
  std::free(options);
  return 0;
}
