#include "kernels/integer_sqrt.h"

#include "kernels/dsp.h"

namespace mcuformer {

uint32_t IntegerSqrt(uint32_t n, int iterations) {
  const int power = BitWidth(n - 1);
  uint32_t x = uint32_t{1} << ((power + 1) / 2);
  for (int i = 0; iterations == kSqrtUntilFixed || i < iterations; ++i) {
    // x + n / x fits: x is at most 2^16, and n / x is less than 2^17.
    const uint32_t next = (x + n / x) >> 1;
    if (iterations == kSqrtUntilFixed && next >= x) break;
    x = next;
  }
  return x;
}

}  // namespace mcuformer
