// Add for MVE: eight sums at once, of any constants.
#ifndef MCUFORMER_KERNELS_CORTEX_M_ADD_H_
#define MCUFORMER_KERNELS_CORTEX_M_ADD_H_

#include <cstdint>

#include "kernels/add.h"
#include "kernels/cortex_m/mve.h"

namespace mcuformer {
namespace mve {

// (x - zero_point) * 2^kShift, kShift above 16 for int8 and at most 16 for int16.
template <int kShift>
inline Eight LoadSummand(const int8_t* x, int32_t zero_point) {
  const int16x8_t difference = vsubq_n_s16(LoadEight(x), static_cast<int16_t>(zero_point));
  const int16x8_t shifted = vshlq_n_s16(difference, kShift - 16);
  return {vshllbq_n_s16(shifted, 16), vshlltq_n_s16(shifted, 16)};
}
template <int kShift>
inline Eight LoadSummand(const int16_t* x, int32_t zero_point) {
  const int16x8_t values = LoadEight(x);
  const int32_t of_zero_point = zero_point * (1 << kShift);
  return {vsubq_n_s32(vshllbq_n_s16(values, kShift), of_zero_point),
          vsubq_n_s32(vshlltq_n_s16(values, kShift), of_zero_point)};
}

// Where kIsHalf, the first factor is a half, exact since what it multiplies is even. Returns how
// many sums it has made, which leaves fewer than eight.
template <bool kIsHalf, int kLeftShift, typename T>
[[gnu::noinline]] int AddEights(const AddParams& params, int size, const T* first, const T* second,
                                T* output) {
  const Rescale of_first(params.first.rescale), of_second(params.second.rescale),
      of_sum(params.output);
  const int32_t first_zero_point = params.first.zero_point,
                second_zero_point = params.second.zero_point, zero_point = params.output_zero_point;
  for (int i = size / kEight; i > 0; --i) {
    Eight sum = LoadSummand < kIsHalf ? kLeftShift - 1 : kLeftShift > (first, first_zero_point);
    if (!kIsHalf) sum = of_first.Down(sum);
    const Eight other = of_second.Down(LoadSummand<kLeftShift>(second, second_zero_point));
    sum = {vaddq_s32(sum.even, other.even), vaddq_s32(sum.odd, other.odd)};
    StoreEight(NarrowedTo<T>(of_sum.Down(sum), zero_point), output);
    first += kEight;
    second += kEight;
    output += kEight;
  }
  return size & -kEight;
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_ADD_H_
