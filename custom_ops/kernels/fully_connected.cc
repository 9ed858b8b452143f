#include "kernels/fully_connected.h"

#include <cstring>

#include "kernels/dot.h"

namespace mcuformer {
namespace {

void Row(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
         const int8_t* input, int8_t* output) {
  for (int unit = 0; unit < params.units; ++unit) {
    const int32_t accumulator =
        Dot(input, weights.weights + unit * params.width, params.width, weights.bias[unit]);
    output[unit] =
        Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                             accumulator, weights.multiplier[unit], weights.shift[unit])) +
                         params.output_zero_point);
  }
}

}  // namespace

void FullyConnected(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                    const int8_t* input, int8_t* output) {
  for (int token = 0; token < params.tokens; ++token) {
    Row(params, weights, input + token * params.width, output + token * params.units);
  }
}

void FullyConnectedInPlace(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                           int8_t* scratch, int8_t* buffer) {
  const bool grows = params.units > params.width;
  for (int i = 0; i < params.tokens; ++i) {
    const int token = grows ? params.tokens - 1 - i : i;
    std::memcpy(scratch, buffer + token * params.width, params.width);
    Row(params, weights, scratch, buffer + token * params.units);
  }
}

template <typename T>
void FullyConnectedResidual(const FullyConnectedParams& params,
                            const FullyConnectedWeights& weights, const ResidualScale& scale,
                            const int8_t* input, const T* residual, T* output) {
  for (int token = 0; token < params.tokens; ++token, input += params.width) {
    for (int unit = 0; unit < params.units; ++unit) {
      const int32_t accumulator =
          Dot(input, weights.weights + unit * params.width, params.width, weights.bias[unit]);
      *output++ =
          Saturate<T>(static_cast<int64_t>(ResidualAdd(accumulator, weights.multiplier[unit],
                                                       weights.shift[unit], *residual++, scale)) +
                      params.output_zero_point);
    }
  }
}

template void FullyConnectedResidual<int8_t>(const FullyConnectedParams&,
                                             const FullyConnectedWeights&, const ResidualScale&,
                                             const int8_t*, const int8_t*, int8_t*);
template void FullyConnectedResidual<int16_t>(const FullyConnectedParams&,
                                              const FullyConnectedWeights&, const ResidualScale&,
                                              const int8_t*, const int16_t*, int16_t*);

}  // namespace mcuformer
