// Integer square root (paper, algorithm 1). Twin: custom_ops/reference/integer_sqrt.py.
#ifndef MCUFORMER_KERNELS_INTEGER_SQRT_H_
#define MCUFORMER_KERNELS_INTEGER_SQRT_H_

#include <cstdint>

#include "kernels/dsp.h"

namespace mcuformer {

constexpr int kSqrtUntilFixed = 0;

// Square root of n >= 1 by `iterations` steps of Newton's method from x0 = 2^ceil(P/2),
// P = ceil(log2 n); with kSqrtUntilFixed, until it no longer falls: floor(sqrt(n)).
uint32_t IntegerSqrt(uint32_t n, int iterations);

// The same, where a call would be a good part of its cost.
inline uint32_t InlineIntegerSqrt(uint32_t n, int iterations) {
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

#endif  // MCUFORMER_KERNELS_INTEGER_SQRT_H_
