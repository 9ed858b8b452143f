// Integer layer normalisation (paper, section 3.2). Twin: custom_ops/reference/layer_norm.py.
#ifndef MCUFORMER_KERNELS_LAYER_NORM_H_
#define MCUFORMER_KERNELS_LAYER_NORM_H_

#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

constexpr int kLayerNormMaxWidth = 1024;
constexpr int kNormalisedFractionBits = 10;

struct LayerNormParams {
  int tokens;
  int width;                   // at most kLayerNormMaxWidth
  QuantizedMultiplier output;  // from gamma's unit / 2^10 to the output's scale
  int32_t output_zero_point;
  int32_t epsilon;  // added to width^2 times the variance
  int iterations;   // of IntegerSqrt
};

// input: T[tokens, width], int8 or int16. gamma: int16[width]. beta: int32[width].
// output: int8[tokens, width]; may be the input itself where T is int8. Scratch: none.
template <typename T>
void LayerNorm(const LayerNormParams& params, const T* input, const int16_t* gamma,
               const int32_t* beta, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_LAYER_NORM_H_
