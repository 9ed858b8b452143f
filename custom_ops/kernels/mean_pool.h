// Mean over tokens. Twin: custom_ops/reference/mean_pool.py.
#ifndef MCUFORMER_KERNELS_MEAN_POOL_H_
#define MCUFORMER_KERNELS_MEAN_POOL_H_

#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

// A column's sum of differences to the zero point, 255 at most each, fits 32 bits.
constexpr int kMeanPoolMaxTokens = 1 << 23;

struct MeanPoolParams {
  int tokens;
  int width;
  int32_t input_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier output;  // input scale / output scale / tokens
};

// input: int8[tokens, width], any alignment. output: int8[width]; may start where the input
// starts. Scratch: none.
void MeanPool(const MeanPoolParams& params, const int8_t* input, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_MEAN_POOL_H_
