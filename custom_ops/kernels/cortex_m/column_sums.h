// Sums and means of eight columns at once, for MVE.
#ifndef MCUFORMER_KERNELS_CORTEX_M_COLUMN_SUMS_H_
#define MCUFORMER_KERNELS_CORTEX_M_COLUMN_SUMS_H_

#include <cstdint>

#include "kernels/cortex_m/mve.h"

namespace mcuformer {
namespace mve {

// Tokens of 8 bits whose sum fits 16 bits.
constexpr int kSummedInt8 = 256;

// The sum of eight columns of a window of tokens, `stride` values apart, its rows `to_row`; of int8
// at most kSummedInt8 of them.
inline Eight SumWindow(const int8_t* input, int rows, int to_row, int tokens, int stride) {
  int16x8_t sums = vdupq_n_s16(0);
  for (int row = 0; row < rows; ++row, input += to_row) {
    const int8_t* x = input;
    for (int token = tokens; token > 0; --token, x += stride) sums = vaddq_s16(sums, LoadEight(x));
  }
  return {vmovlbq_s16(sums), vmovltq_s16(sums)};
}

inline Eight SumWindow(const int16_t* input, int rows, int to_row, int tokens, int stride) {
  Eight sums = {vdupq_n_s32(0), vdupq_n_s32(0)};
  for (int row = 0; row < rows; ++row, input += to_row) {
    const int16_t* x = input;
    for (int token = tokens; token > 0; --token, x += stride) {
      const int16x8_t values = LoadEight(x);
      sums = {vaddq_s32(sums.even, vmovlbq_s16(values)), vaddq_s32(sums.odd, vmovltq_s16(values))};
    }
  }
  return sums;
}

// Means of which `sums` are the sums of differences to `of_zero_points`.
template <typename T>
inline void StoreMeans(Eight sums, int32_t of_zero_points, const Rescale& rescale,
                       int32_t zero_point, T* output) {
  const Eight differences = {vsubq_n_s32(sums.even, of_zero_points),
                             vsubq_n_s32(sums.odd, of_zero_points)};
  StoreEight(NarrowedTo<T>(rescale(differences), zero_point), output);
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_COLUMN_SUMS_H_
