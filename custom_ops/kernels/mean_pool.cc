#include "kernels/mean_pool.h"

namespace mcuformer {

void MeanPool(const MeanPoolParams& params, const int8_t* input, int32_t* scratch, int8_t* output) {
  for (int i = 0; i < params.width; ++i) scratch[i] = 0;
  for (int token = 0; token < params.tokens; ++token, input += params.width) {
    for (int i = 0; i < params.width; ++i) scratch[i] += input[i] - params.input_zero_point;
  }
  for (int i = 0; i < params.width; ++i) {
    output[i] = Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                                     scratch[i], params.output.multiplier, params.output.shift)) +
                                 params.output_zero_point);
  }
}

}  // namespace mcuformer
