// Fixed-point arithmetic, bit for bit that of TFLite's reference kernels (double rounding).
// Twin: custom_ops/reference/fixed_point.py.
#ifndef MCUFORMER_KERNELS_FIXED_POINT_H_
#define MCUFORMER_KERNELS_FIXED_POINT_H_

#include <cstdint>
#include <limits>

#include "kernels/cortex_m/helium.h"
#include "kernels/dsp.h"

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

// round(x * multiplier / 2^31), ties up; multiplier >= 0. TFLite nudges by the product's sign and
// truncates, which comes to the same for every product.
inline int32_t RoundingDoublingHigh(int32_t x, int32_t multiplier) {
  return static_cast<int32_t>((static_cast<int64_t>(x) * multiplier + (int64_t{1} << 30)) >> 31);
}

// round(x * multiplier * 2^(shift - 31)); a left shift saturates. Not inlined: it is large, and
// where speed counts RescaleDown takes its place.
[[gnu::noinline]] inline int32_t MultiplyByQuantizedMultiplier(int32_t x, int32_t multiplier,
                                                               int shift) {
  if (shift > 0) x = Saturate<int32_t>(static_cast<int64_t>(x) * (int64_t{1} << shift));
  return RoundingDivideByPot(RoundingDoublingHigh(x, multiplier), shift < 0 ? -shift : 0);
}

// A multiplier and a shift made ready for many sums: MultiplyByQuantizedMultiplier, also with a
// zero point and saturated to T. AnyRescale serves all constants; RescaleDown those of nearly
// every layer, shift < 0 and multiplier >= 2^30, in a few instructions.
class AnyRescale {
 public:
  AnyRescale(int32_t multiplier, int32_t shift) : multiplier_(multiplier), shift_(shift) {}

  int32_t operator()(int32_t sum) const {
    return MultiplyByQuantizedMultiplier(sum, multiplier_, shift_);
  }

  template <typename T>
  int32_t To(int32_t sum, int32_t zero_point) const {
    return Saturate<T>(SumSaturated((*this)(sum), zero_point));
  }

 private:
  int32_t multiplier_;
  int32_t shift_;
};

class RescaleDown {
 public:
  static bool Serves(int32_t multiplier, int32_t shift) {
    return (Doubled(multiplier) & shift) < 0;  // both top bits
  }

  RescaleDown(int32_t multiplier, int32_t shift)
      : fraction_(Doubled(multiplier)), right_(-1 - shift) {}

  int32_t operator()(int32_t sum) const { return (Shifted(sum) + 1) >> 1; }

  // The same, and an addend with which it fits 32 bits.
  int32_t Plus(int32_t sum, int32_t addend) const {
    return AddShiftedRounded(Corrected(sum), right_ + 1, addend);
  }

  template <typename T>
  int32_t To(int32_t sum, int32_t zero_point) const {
    return HalfSumSaturated<T>(Shifted(sum), 2 * zero_point + 1);
  }

 private:
  static int32_t Doubled(int32_t multiplier) {
    return static_cast<int32_t>(static_cast<uint32_t>(multiplier) << 1);
  }

  // The high half of the product, one less below zero: so ties are rounded away from zero.
  int32_t Corrected(int32_t sum) const {
    // Twice the multiplier is 2^32 + fraction_.
    const int32_t high = MultiplyAddHighRounded(sum, fraction_, sum);
    return high + (high >> 31);
  }

  // Half of this plus one is the rounded product.
  int32_t Shifted(int32_t sum) const { return Corrected(sum) >> right_; }

  int32_t fraction_;  // 2 multiplier - 2^32
  int32_t right_;
};

// How a residual of another scale joins a sum.
struct ResidualScale {
  int32_t zero_point;
  QuantizedMultiplier rescale;
};

// Adds residuals to rescaled sums, with 2^kResidualFractionBits in the factors of both.
class ResidualAdd {
 public:
  explicit ResidualAdd(const ResidualScale& scale)
      : zero_point_(scale.zero_point),
        multiplier_(scale.rescale.multiplier),
        shift_(scale.rescale.shift) {}

  // Whether a residual's summand is the high half of (residual * Factor() + Offset()) *
  // Multiplier(), rounded: no difference of 17 bits saturates then.
  bool IsProduct() const { return shift_ >= 0 && shift_ <= 13; }
  int32_t Factor() const { return int32_t{2} << shift_; }
  int32_t Offset() const { return -zero_point_ * Factor(); }
  int32_t Multiplier() const { return multiplier_; }

  // saturate(zero_point + the sum); residual and its zero point fit 16 bits.
  template <typename T>
  int32_t To(int32_t rescaled, int32_t residual, int32_t zero_point) const {
    const int32_t difference = residual - zero_point_;
    const int32_t addend = IsProduct()
                               ? MultiplyHighRounded(difference * Factor(), multiplier_)
                               : MultiplyByQuantizedMultiplier(difference, multiplier_, shift_);
    const int32_t sum = SumSaturated(rescaled, addend);
    // Ties away from zero, as in RescaleDown.
    return HalfSumSaturated<T>(SumSaturated(sum, sum >> 31) >> (kResidualFractionBits - 1),
                               2 * zero_point + 1);
  }

#ifdef MCUFORMER_CORTEX_M_MVE
  // The sums of two vectors each, without the zero point; IsProduct().
  HeliumPair To(const HeliumPair& rescaled, const HeliumPair& residual) const {
    return {Sum(rescaled.first, residual.first), Sum(rescaled.second, residual.second)};
  }
#endif

 private:
#ifdef MCUFORMER_CORTEX_M_MVE
  int32x4_t Sum(int32x4_t rescaled, int32x4_t residual) const {
    const int32x4_t difference = vaddq_n_s32(residual, -zero_point_);
    const int32x4_t addend = vqrdmulhq_n_s32(vshlq_r_s32(difference, shift_), multiplier_);
    const int32x4_t sum = vqaddq_s32(rescaled, addend);
    return vrshrq_n_s32(vqaddq_s32(sum, vshrq_n_s32(sum, 31)), kResidualFractionBits);
  }
#endif

  int32_t zero_point_, multiplier_, shift_;
};

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_FIXED_POINT_H_
