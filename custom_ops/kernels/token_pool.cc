#include "kernels/token_pool.h"

#include "kernels/column_sums.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/column_sums.h"
#endif

namespace mcuformer {
namespace {

template <typename T>
T Mean(const TokenPoolParams& params, int32_t sum) {
  const int32_t differences = sum - params.size * params.size * params.input_zero_point;
  return Saturate<T>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                         differences, params.output.multiplier, params.output.shift)) +
                     params.output_zero_point);
}

// A mean is written over a token whose column has been read: its own window's, or an earlier one.
template <typename T>
void PoolWindow(const TokenPoolParams& params, const T* window, T* output) {
  const int width = params.width, stride = params.columns * params.size * width;
  int column = 0;
#ifdef MCUFORMER_CORTEX_M_MVE
  const mve::Rescale rescale(params.output);
  for (; column + mve::kEight <= width; column += mve::kEight) {
    mve::StoreMeans(mve::SumWindow(window + column, params.size, stride, params.size, width),
                    params.size * params.size * params.input_zero_point, rescale,
                    params.output_zero_point, output + column);
  }
#endif
  for (; column + kSummedColumns <= width; column += kSummedColumns) {
    int32_t totals[kSummedColumns] = {};
    for (int row = 0; row < params.size; ++row) {
      int32_t sums[kSummedColumns];
      SumColumns(window + row * stride + column, params.size, width, sums);
      for (int i = 0; i < kSummedColumns; ++i) totals[i] += sums[i];
    }
    for (int i = 0; i < kSummedColumns; ++i) output[column + i] = Mean<T>(params, totals[i]);
  }
  for (; column < width; ++column) {
    int32_t total = 0;
    for (int row = 0; row < params.size; ++row) {
      const T* token = window + row * stride + column;
      for (int i = 0; i < params.size; ++i) total += token[i * width];
    }
    output[column] = Mean<T>(params, total);
  }
}

}  // namespace

template <typename T>
void TokenPool(const TokenPoolParams& params, const T* input, T* output) {
  const int side = params.size * params.width;
  for (int row = 0; row < params.rows; ++row) {
    for (int column = 0; column < params.columns; ++column, output += params.width) {
      PoolWindow(params, input + column * side, output);
    }
    input += params.columns * side * params.size;
  }
}

template void TokenPool<int8_t>(const TokenPoolParams&, const int8_t*, int8_t*);
template void TokenPool<int16_t>(const TokenPoolParams&, const int16_t*, int16_t*);

}  // namespace mcuformer
