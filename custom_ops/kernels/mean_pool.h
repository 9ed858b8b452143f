// Mean over tokens. Twin: custom_ops/reference/mean_pool.py.
#ifndef MCUFORMER_KERNELS_MEAN_POOL_H_
#define MCUFORMER_KERNELS_MEAN_POOL_H_

#include <cstddef>
#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

struct MeanPoolParams {
  int tokens;
  int width;
  int32_t input_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier output;  // input scale / output scale / tokens
};

constexpr size_t MeanPoolScratchBytes(int width) { return sizeof(int32_t) * width; }

// input: int8[tokens, width]. output: int8[width]; may start where the input starts.
// scratch: int32[width].
void MeanPool(const MeanPoolParams& params, const int8_t* input, int32_t* scratch, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_MEAN_POOL_H_
