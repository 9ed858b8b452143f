#include "kernels/mean_pool.h"

#include "kernels/column_sums.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/column_sums.h"
#endif

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
#ifdef MCUFORMER_CORTEX_M_MVE
  const mve::Rescale rescale(params.output);
  for (; column + mve::kEight <= params.width; column += mve::kEight) {
    mve::Eight sums = {vdupq_n_s32(0), vdupq_n_s32(0)};
    const int8_t* x = input + column;
    for (int left = params.tokens; left > 0; left -= mve::kSummedInt8) {
      const int run = left < mve::kSummedInt8 ? left : mve::kSummedInt8;
      const mve::Eight of_run = mve::SumWindow(x, 1, 0, run, params.width);
      sums = {vaddq_s32(sums.even, of_run.even), vaddq_s32(sums.odd, of_run.odd)};
      x += run * params.width;
    }
    mve::StoreMeans(sums, params.tokens * params.input_zero_point, rescale,
                    params.output_zero_point, output + column);
  }
#endif
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
