#include "kernels/integer_sqrt.h"

namespace mcuformer {

uint32_t IntegerSqrt(uint32_t n, int iterations) {
  int power = 0;
  while (power < 32 && (uint64_t{1} << power) < n) ++power;
  uint32_t x = uint32_t{1} << ((power + 1) / 2);
  for (int i = 0; iterations == kSqrtUntilFixed || i < iterations; ++i) {
    const uint32_t next = (x + n / x) >> 1;
    if (iterations == kSqrtUntilFixed && next >= x) break;
    x = next;
  }
  return x;
}

}  // namespace mcuformer
