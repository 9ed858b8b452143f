// Sums of a few columns over tokens, several at a time.
#ifndef MCUFORMER_KERNELS_COLUMN_SUMS_H_
#define MCUFORMER_KERNELS_COLUMN_SUMS_H_

#include <cstdint>

#include "kernels/dsp.h"

namespace mcuformer {

constexpr int kSummedColumns = 4;

// Sums of columns [0, kSummedColumns) of `tokens` rows, `stride` bytes apart, any alignment.
#ifdef MCUFORMER_CORTEX_M_DSP

inline void SumColumns(const int8_t* input, int tokens, int stride, int32_t* sums) {
  // As many bytes as a sum of 16 bits can hold.
  constexpr int kRun = 256;
  for (int column = 0; column < kSummedColumns; ++column) sums[column] = 0;
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

inline void SumColumns(const int8_t* input, int tokens, int stride, int32_t* sums) {
  for (int column = 0; column < kSummedColumns; ++column) sums[column] = 0;
  for (int token = 0; token < tokens; ++token, input += stride) {
    for (int column = 0; column < kSummedColumns; ++column) sums[column] += input[column];
  }
}

#endif

inline void SumColumns(const int16_t* input, int tokens, int stride, int32_t* sums) {
  for (int column = 0; column < kSummedColumns; ++column) sums[column] = 0;
  for (int token = 0; token < tokens; ++token, input += stride) {
    for (int column = 0; column < kSummedColumns; ++column) sums[column] += input[column];
  }
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_COLUMN_SUMS_H_
