#include "kernels/layer_norm.h"

#include "kernels/integer_sqrt.h"

namespace mcuformer {
namespace {

int BitWidth(uint64_t x) {
  int bits = 0;
  for (; x != 0; x >>= 1) ++bits;
  return bits;
}

// 1/sqrt(variance) as inverse * 2^-right, times 2^kNormalisedFractionBits.
struct InverseRoot {
  int64_t inverse;
  int right;
};

InverseRoot InvertRoot(uint64_t variance, int iterations) {
  const int up = (32 - BitWidth(variance)) & ~1;
  const uint32_t mantissa = static_cast<uint32_t>(up >= 0 ? variance << up : variance >> -up);
  const uint32_t root = IntegerSqrt(mantissa, iterations);
  return {static_cast<int64_t>((uint32_t{1} << 31) / root), 31 - kNormalisedFractionBits - up / 2};
}

}  // namespace

template <typename T>
void LayerNorm(const LayerNormParams& params, const T* input, const int16_t* gamma,
               const int32_t* beta, int8_t* output) {
  const int width = params.width;
  for (int token = 0; token < params.tokens; ++token, input += width, output += width) {
    int32_t sum = 0;
    uint64_t squares = 0;
    for (int i = 0; i < width; ++i) {
      const int32_t x = input[i];
      sum += x;
      squares += static_cast<uint32_t>(x * x);
    }
    const uint64_t variance = static_cast<uint64_t>(width) * squares -
                              static_cast<uint64_t>(static_cast<int64_t>(sum) * sum) +
                              static_cast<uint64_t>(params.epsilon);
    InverseRoot scale = {0, 1};
    if (variance != 0) scale = InvertRoot(variance, params.iterations);
    const int64_t half = int64_t{1} << (scale.right - 1);
    for (int i = 0; i < width; ++i) {
      const int64_t centred = static_cast<int64_t>(width) * input[i] - sum;
      const int64_t normalised = Saturate<int16_t>((centred * scale.inverse + half) >> scale.right);
      const int32_t accumulator = Saturate<int32_t>(normalised * gamma[i] + beta[i]);
      output[i] =
          Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                               accumulator, params.output.multiplier, params.output.shift)) +
                           params.output_zero_point);
    }
  }
}

template void LayerNorm<int8_t>(const LayerNormParams&, const int8_t*, const int16_t*,
                                const int32_t*, int8_t*);
template void LayerNorm<int16_t>(const LayerNormParams&, const int16_t*, const int16_t*,
                                 const int32_t*, int8_t*);

}  // namespace mcuformer
