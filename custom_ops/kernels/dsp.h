// Single instructions of the Arm DSP extension, and the same in C++ for every other core.
// MCUFORMER_CORTEX_M_DSP (kernels/cortex_m/target.h) tells the two apart.
#ifndef MCUFORMER_KERNELS_DSP_H_
#define MCUFORMER_KERNELS_DSP_H_

#include <cstdint>
#include <limits>

#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_DSP
#include <arm_acle.h>

#include <cstring>
#endif

namespace mcuformer {

#ifdef MCUFORMER_CORTEX_M_DSP

// One LDR, aligned or not.
inline int32_t LoadWord(const void* data) {
  int32_t word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

// Bytes 1 and 3, widened; __sxtb16 gives bytes 0 and 2.
inline int16x2_t OddBytes(int32_t word) {
  int16x2_t odd;  // GCC does not fold a rotation into the intrinsic
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
  return odd;
}

// sum + OddBytes(word), lane by lane.
inline int16x2_t AddOddBytes(int16x2_t sum, int32_t word) {
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sum) : "r"(sum), "r"(word));
  return sum;
}

// The greater of both pairs of lanes.
inline int16x2_t GreaterPair(int16x2_t a, int16x2_t b) {
  int16x2_t greater;  // one statement, since the flags of the difference choose
  __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(greater) : "r"(a), "r"(b));
  return greater;
}

// The greater of four bytes each.
inline int32_t GreaterBytes(int32_t a, int32_t b) {
  int32_t greater;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(greater) : "r"(a), "r"(b));
  return greater;
}

#endif

// round(a * b / 2^32), ties upwards.
inline int32_t MultiplyHighRounded(int32_t a, int32_t b) {
#ifdef MCUFORMER_CORTEX_M_DSP
  int32_t high;  // no intrinsic of ACLE
  __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
  return high;
#else
  return static_cast<int32_t>((static_cast<int64_t>(a) * b + (int64_t{1} << 31)) >> 32);
#endif
}

// start + round(a * b / 2^32), ties upwards; must fit 32 bits.
inline int32_t MultiplyAddHighRounded(int32_t a, int32_t b, int32_t start) {
#ifdef MCUFORMER_CORTEX_M_DSP
  int32_t sum;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(start));
  return sum;
#else
  return start + MultiplyHighRounded(a, b);
#endif
}

// saturate(a + b)
inline int32_t SumSaturated(int32_t a, int32_t b) {
#ifdef MCUFORMER_CORTEX_M_DSP
  return __qadd(a, b);
#else
  const int64_t sum = int64_t{a} + b;
  return static_cast<int32_t>(sum < INT32_MIN ? INT32_MIN : (sum > INT32_MAX ? INT32_MAX : sum));
#endif
}

// saturate(floor((a + b) / 2)), T int8_t or int16_t.
template <typename T>
inline int32_t HalfSumSaturated(int32_t a, int32_t b) {
#ifdef MCUFORMER_CORTEX_M_DSP
  int32_t half;
  __asm__("ssat %0, %1, %2, asr #1" : "=r"(half) : "I"(8 * sizeof(T)), "r"(__qadd(a, b)));
  return half;
#else
  constexpr int64_t kMin = std::numeric_limits<T>::min();
  constexpr int64_t kMax = std::numeric_limits<T>::max();
  const int64_t half = (int64_t{a} + b) >> 1;
  return static_cast<int32_t>(half < kMin ? kMin : (half > kMax ? kMax : half));
#endif
}

// start + floor(a * b / 2^16); the sum must fit 32 bits.
inline int32_t MultiplyAddHigh(int32_t a, int16_t b, int32_t start) {
#ifdef MCUFORMER_CORTEX_M_DSP
  return __smlawb(a, b, start);
#else
  return start + static_cast<int32_t>((static_cast<int64_t>(a) * b) >> 16);
#endif
}

inline int8_t SaturateInt8(int32_t x) {
#ifdef MCUFORMER_CORTEX_M_DSP
  return static_cast<int8_t>(__ssat(x, 8));
#else
  return static_cast<int8_t>(x < -128 ? -128 : (x > 127 ? 127 : x));
#endif
}

template <typename T>
inline int32_t SaturateTo(int32_t x) {
#ifdef MCUFORMER_CORTEX_M_DSP
  return __ssat(x, 8 * sizeof(T));
#else
  constexpr int32_t kMin = std::numeric_limits<T>::min(), kMax = std::numeric_limits<T>::max();
  return x < kMin ? kMin : (x > kMax ? kMax : x);
#endif
}

// addend + x / 2^shift, to nearest, ties upwards; shift in [1, 31], the sum must fit 32 bits.
inline int32_t AddShiftedRounded(int32_t x, int32_t shift, int32_t addend) {
#ifdef MCUFORMER_CORTEX_M_DSP
  int32_t sum;  // what is shifted out last is the half that is rounded
  __asm__("asrs %0, %1, %2\n\tadc %0, %0, %3"
          : "=&r"(sum)
          : "r"(x), "r"(shift), "r"(addend)
          : "cc");
  return sum;
#else
  return addend + (((x >> (shift - 1)) + 1) >> 1);
#endif
}

// Bits that x occupies: 0 for 0, else floor(log2 x) + 1.
inline int BitWidth(uint32_t x) {
#if defined(__GNUC__)
  return x == 0 ? 0 : 32 - __builtin_clz(x);
#else
  int bits = 0;
  for (; x != 0; x >>= 1) ++bits;
  return bits;
#endif
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_DSP_H_
