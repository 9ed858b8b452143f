#include "kernels/mean_pool.h"

#include "kernels/column_sums.h"

namespace mcuformer {
namespace {

int8_t Mean(const MeanPoolParams& params, int32_t sum) {
  const int32_t differences = sum - params.tokens * params.input_zero_point;
  return Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                              differences, params.output.multiplier, params.output.shift)) +
                          params.output_zero_point);
}

}  // namespace

void MeanPool(const MeanPoolParams& params, const int8_t* input, int8_t* output) {
  int column = 0;
  for (; column + kSummedColumns <= params.width; column += kSummedColumns) {
    int32_t sums[kSummedColumns];
    SumColumns(input + column, params.tokens, params.width, sums);
    for (int i = 0; i < kSummedColumns; ++i) output[column + i] = Mean(params, sums[i]);
  }
  for (; column < params.width; ++column) {
    int32_t sum = 0;
    for (int token = 0; token < params.tokens; ++token) sum += input[token * params.width + column];
    output[column] = Mean(params, sum);
  }
}

}  // namespace mcuformer
