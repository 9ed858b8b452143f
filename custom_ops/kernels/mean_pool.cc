#include "kernels/mean_pool.h"

#include "kernels/dsp.h"

namespace mcuformer {
namespace {

constexpr int kColumns = 4;

// Sums of columns [0, kColumns) of `tokens` rows.
#ifdef MCUFORMER_CORTEX_M_DSP

void SumColumns(const int8_t* input, int tokens, int stride, int32_t* sums) {
  // As many bytes as a sum of 16 bits can hold.
  constexpr int kRun = 256;
  for (int column = 0; column < kColumns; ++column) sums[column] = 0;
  while (tokens > 0) {
    const int run = tokens < kRun ? tokens : kRun;
    int16x2_t even = 0, odd = 0;
    for (int token = 0; token < run; ++token, input += stride) {
      const int32_t word = LoadWord(input);
      even = __sxtab16(even, word);
      odd = AddOddBytes(odd, word);
    }
    sums[0] += static_cast<int16_t>(even);
    sums[1] += static_cast<int16_t>(odd);
    sums[2] += even >> 16;
    sums[3] += odd >> 16;
    tokens -= run;
  }
}

#else

void SumColumns(const int8_t* input, int tokens, int stride, int32_t* sums) {
  for (int column = 0; column < kColumns; ++column) sums[column] = 0;
  for (int token = 0; token < tokens; ++token, input += stride) {
    for (int column = 0; column < kColumns; ++column) sums[column] += input[column];
  }
}

#endif

int8_t Mean(const MeanPoolParams& params, int32_t sum) {
  const int32_t differences = sum - params.tokens * params.input_zero_point;
  return Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                              differences, params.output.multiplier, params.output.shift)) +
                          params.output_zero_point);
}

}  // namespace

void MeanPool(const MeanPoolParams& params, const int8_t* input, int8_t* output) {
  int column = 0;
  for (; column + kColumns <= params.width; column += kColumns) {
    int32_t sums[kColumns];
    SumColumns(input + column, params.tokens, params.width, sums);
    for (int i = 0; i < kColumns; ++i) output[column + i] = Mean(params, sums[i]);
  }
  for (; column < params.width; ++column) {
    int32_t sum = 0;
    for (int token = 0; token < params.tokens; ++token) sum += input[token * params.width + column];
    output[column] = Mean(params, sum);
  }
}

}  // namespace mcuformer
