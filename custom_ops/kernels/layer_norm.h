// Integer layer normalisation (paper, section 3.2 and algorithm 1).
// Twin: custom_ops/reference/layer_norm.py.
//
// With w the width, c = w x - sum(x) and V = w sum(x^2) - sum(x)^2 + epsilon, the normalised
// value is c / sqrt(V): neither scale nor zero point of the input enters. V is shifted evenly
// into [2^30, 2^32), so that algorithm 1's root has 16 bits whatever the variance.
#ifndef MCUFORMER_KERNELS_LAYER_NORM_H_
#define MCUFORMER_KERNELS_LAYER_NORM_H_

#include <cstdint>

namespace mcuformer {

constexpr int kLayerNormMaxWidth = 1024;
constexpr int kLayerNormMaxIterations = 32;
constexpr int kLayerNormMaxNormalisedBits = 22;
// beta lies within +-2^30, so that no sum leaves 32 bits.
constexpr int32_t kLayerNormMaxBeta = int32_t{1} << 30;

struct LayerNormParams {
  int width;            // in [1, kLayerNormMaxWidth]
  int32_t epsilon;      // added to width^2 times the variance; not negative
  int iterations;       // of IntegerSqrt; 0 until fixed
  int normalised_bits;  // fractional bits of a normalised value, in [0, 22]
};

// Normalises `tokens` rows; as cheap a token for one row as for many.
//
// input: T[tokens, width], int8 or int16, any alignment.
// gamma: int16[width], gamma / output scale * 2^(24 - normalised_bits).
// beta: int32[width], beta / output scale * 2^8 + 2^8 output zero point + 2^7.
// output: int8[tokens, width]; may start where the input starts. Scratch: none.
template <typename T>
void LayerNorm(const LayerNormParams& params, int tokens, const T* input, const int16_t* gamma,
               const int32_t* beta, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_LAYER_NORM_H_
