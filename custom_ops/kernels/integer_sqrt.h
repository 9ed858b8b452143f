// Integer square root (paper, algorithm 1). Twin: custom_ops/reference/integer_sqrt.py.
#ifndef MCUFORMER_KERNELS_INTEGER_SQRT_H_
#define MCUFORMER_KERNELS_INTEGER_SQRT_H_

#include <cstdint>

namespace mcuformer {

constexpr int kSqrtUntilFixed = 0;

// Square root of n >= 1 by `iterations` steps of Newton's method from x0 = 2^ceil(P/2),
// P = ceil(log2 n); with kSqrtUntilFixed, until it no longer falls: floor(sqrt(n)).
uint32_t IntegerSqrt(uint32_t n, int iterations);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_INTEGER_SQRT_H_
