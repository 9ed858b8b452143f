// Fixed-point arithmetic, bit for bit that of TFLite's reference kernels (double rounding).
// Twin: custom_ops/reference/fixed_point.py.
#ifndef MCUFORMER_KERNELS_FIXED_POINT_H_
#define MCUFORMER_KERNELS_FIXED_POINT_H_

#include <cstdint>
#include <limits>

namespace mcuformer {

// A positive real factor: multiplier * 2^(shift - 31), shift in [-31, 31].
struct QuantizedMultiplier {
  int32_t multiplier;
  int32_t shift;
};

// Summands of a residual addition carry this many fractional bits.
constexpr int kResidualFractionBits = 8;

template <typename T>
inline T Saturate(int64_t x) {
  constexpr int64_t kMin = std::numeric_limits<T>::min();
  constexpr int64_t kMax = std::numeric_limits<T>::max();
  return static_cast<T>(x < kMin ? kMin : (x > kMax ? kMax : x));
}

// x / 2^exponent, to nearest, ties away from zero; exponent in [0, 31].
inline int32_t RoundingDivideByPot(int32_t x, int exponent) {
  const int32_t mask = static_cast<int32_t>((int64_t{1} << exponent) - 1);
  const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

// round(x * multiplier * 2^(shift - 31)); a left shift saturates.
inline int32_t MultiplyByQuantizedMultiplier(int32_t x, int32_t multiplier, int shift) {
  if (shift > 0) x = Saturate<int32_t>(static_cast<int64_t>(x) * (int64_t{1} << shift));
  const int64_t product = static_cast<int64_t>(x) * multiplier;
  const int64_t nudge = product >= 0 ? (int64_t{1} << 30) : 1 - (int64_t{1} << 30);
  const int32_t high = static_cast<int32_t>((product + nudge) / (int64_t{1} << 31));
  return RoundingDivideByPot(high, shift < 0 ? -shift : 0);
}

// How a residual of another scale joins an accumulator.
struct ResidualScale {
  int32_t zero_point;
  QuantizedMultiplier rescale;
};

// The rescaled sum, zero point of the output not yet added.
inline int32_t ResidualAdd(int32_t accumulator, int32_t multiplier, int shift, int32_t residual,
                           const ResidualScale& scale) {
  const int64_t sum =
      static_cast<int64_t>(MultiplyByQuantizedMultiplier(accumulator, multiplier, shift)) +
      MultiplyByQuantizedMultiplier(residual - scale.zero_point, scale.rescale.multiplier,
                                    scale.rescale.shift);
  return RoundingDivideByPot(Saturate<int32_t>(sum), kResidualFractionBits);
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_FIXED_POINT_H_
