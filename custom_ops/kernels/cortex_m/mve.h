// Vectors of MVE (Helium): what several kernels do with eight values at once. Widened to 32 bits
// these are two vectors, of the even and of the odd ones, as the instructions that widen and narrow
// take them.
#ifndef MCUFORMER_KERNELS_CORTEX_M_MVE_H_
#define MCUFORMER_KERNELS_CORTEX_M_MVE_H_

#include <arm_mve.h>

#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {
namespace mve {

constexpr int kEight = 8;

struct Eight {
  int32x4_t even, odd;
};

inline int16x8_t LoadEight(const int8_t* x) { return vldrbq_s16(x); }
inline int16x8_t LoadEight(const int16_t* x) { return vldrhq_s16(x); }

// Of values that fit.
inline void StoreEight(int16x8_t x, int8_t* to) { vstrbq_s16(to, x); }
inline void StoreEight(int16x8_t x, int16_t* to) { vstrhq_s16(to, x); }

// MultiplyByQuantizedMultiplier of any constants.
class Rescale {
 public:
  explicit Rescale(const QuantizedMultiplier& by)
      : multiplier_(by.multiplier),
        left_(by.shift > 0 ? by.shift : 0),
        right_(by.shift < 0 ? by.shift : 0),
        is_below_one_(by.shift < 0 ? 1 : 0) {}

  int32x4_t operator()(int32x4_t x) const { return Down(vqshlq_r_s32(x, left_)); }

  // Of a shift that is none to the left.
  int32x4_t Down(int32x4_t x) const {
    // Doubled, the high half: as it stands. The high half of twice itself is -1 below zero: with it
    // ties are rounded away from zero.
    x = vqrdmulhq_n_s32(x, multiplier_);
    __asm__("vqdmlah.s32 %q0, %q0, %1" : "+w"(x) : "r"(is_below_one_));
    return vrshlq_n_s32(x, right_);
  }

  Eight operator()(Eight x) const { return {(*this)(x.even), (*this)(x.odd)}; }
  Eight Down(Eight x) const { return {Down(x.even), Down(x.odd)}; }

 private:
  int32_t multiplier_, left_, right_, is_below_one_;
};

// saturate(x + zero_point), to T; a zero point of int8 is one of int8. Instructions, since GCC
// copies what its intrinsics narrow in place; none that shifts as it narrows, since GNU's
// assembler, 2.40 at least, takes VQSHRN for VQRSHRN.
template <typename T>
inline int16x8_t NarrowedTo(Eight x, int32_t zero_point) {
  constexpr bool kInt8 = sizeof(T) == 1;
  if (!kInt8) x = {vqaddq_n_s32(x.even, zero_point), vqaddq_n_s32(x.odd, zero_point)};
  __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+&w"(x.even) : "w"(x.odd));
  int16x8_t narrow = vreinterpretq_s16_s32(x.even);
  if (kInt8) {
    narrow = vqaddq_n_s16(narrow, static_cast<int16_t>(zero_point));
    __asm__("vqmovnb.s16 %q0, %q0" : "+w"(narrow));
  }
  return narrow;
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_MVE_H_
