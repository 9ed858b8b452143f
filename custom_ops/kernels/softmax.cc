#include "kernels/softmax.h"

#include "kernels/dsp.h"
#include "kernels/fixed_point.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/softmax.h"
#endif

namespace mcuformer {
namespace {

constexpr int kUnroll = 8;
// The sum of exponentials has this many bits before the point, and 31 less behind it.
constexpr int kSumIntegerBits = 12;

int32_t ShiftLeftSaturated(int32_t x, int shift) {
  return Saturate<int32_t>(static_cast<int64_t>(x) * (int64_t{1} << shift));
}

// 1 / (1 + x) for x in [0, 1), both times 2^31: gemmlowp's three steps of Newton's method on the
// half of the denominator, from 48/17 - 32/17 of it, with two bits before the point.
int32_t ReciprocalOfOnePlus(int32_t x) {
  constexpr int32_t k48Over17 = 1515870810, kMinus32Over17 = -1010580540, kOne = 1 << 29;
  const int32_t half = static_cast<int32_t>((static_cast<int64_t>(x) + INT32_MAX + 1) / 2);
  int32_t root = k48Over17 + RoundingDoublingHigh(half, kMinus32Over17);
  for (int i = 0; i < 3; ++i) {
    const int32_t rest = kOne - RoundingDoublingHigh(half, root);
    root += ShiftLeftSaturated(RoundingDoublingHigh(root, rest), 2);
  }
  return ShiftLeftSaturated(root, 1);
}

#ifndef MCUFORMER_CORTEX_M_MVE

// An exponential, counted as the sum counts.
inline uint32_t Summand(int32_t exponential) {
  return (static_cast<uint32_t>(exponential) + (1u << (kSumIntegerBits - 1))) >> kSumIntegerBits;
}

#endif

// What turns an exponential into a probability: (exponential * factor + nudge) / 2^(32 + shift).
struct Scaling {
  uint32_t factor;
  uint64_t nudge;
  int shift;
};

// TFLite rounds twice, at bit 31 and at the last; as nothing is negative, adding both halves
// before the one shift gives the same.
Scaling ScalingOf(uint32_t sum) {
  const int headroom = 32 - BitWidth(sum);
  const int32_t fraction = static_cast<int32_t>((sum << headroom) - (uint32_t{1} << 31));
  const int last = 31 - 8 + kSumIntegerBits - headroom;  // in [23, 33]
  return {static_cast<uint32_t>(ReciprocalOfOnePlus(fraction)),
          (uint64_t{1} << 30) + (uint64_t{1} << (30 + last)), last - 1};
}

#ifndef MCUFORMER_CORTEX_M_MVE

inline int8_t Probability(int32_t exponential, const Scaling& by) {
#ifdef MCUFORMER_CORTEX_M_DSP
  // Twice the factor is 2^32 + fraction, or for the widest rows just below 2^32. Of a shift beyond
  // the word nothing is left, as it should.
  const auto fraction = static_cast<int32_t>(by.factor << 1);
  int32_t scaled =
      MultiplyAddHighRounded(exponential, fraction, by.factor >> 30 != 0 ? exponential : 0);
  __asm__("lsrs %0, %0, %1\n\tadc %0, %0, %2" : "+r"(scaled) : "r"(by.shift + 1), "r"(-128) : "cc");
  return SaturateInt8(scaled);
#else
  const uint64_t product = static_cast<uint64_t>(by.factor) * static_cast<uint32_t>(exponential);
  const uint32_t high = static_cast<uint32_t>((product + by.nudge) >> 32) >> by.shift;
  return static_cast<int8_t>(static_cast<int32_t>(high < 255 ? high : 255) - 128);
#endif
}

int GreatestOf(const int8_t* x, int width) {
  int greatest = INT8_MIN, i = 0;
#ifdef MCUFORMER_CORTEX_M_DSP
  int32_t of_each = static_cast<int32_t>(0x80808080);
#pragma GCC unroll 4
  for (; i + 4 <= width; i += 4) of_each = GreaterBytes(LoadWord(x + i), of_each);
  for (int byte = 0; byte < 32; byte += 8) {
    const auto value = static_cast<int8_t>(of_each >> byte);
    greatest = value > greatest ? value : greatest;
  }
#endif
  for (; i < width; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}

#endif

}  // namespace

void Softmax(int rows, int width, const int8_t* input, const int32_t* table, int8_t* output) {
  for (int row = 0; row < rows; ++row, input += width, output += width) {
#ifdef MCUFORMER_CORTEX_M_MVE
    const int32_t* exponentials = table + kSoftmaxTableSize - 1 - mve::GreatestOf(input, width);
    const Scaling by = ScalingOf(mve::SumOfEntries<kSumIntegerBits>(input, width, exponentials));
    mve::ScaleEntries(input, width, exponentials, static_cast<int32_t>(by.factor), by.shift + 1,
                      output);
#else
    const int32_t* exponentials = table + kSoftmaxTableSize - 1 - GreatestOf(input, width);
    uint32_t sum = 0;
    int i = 0;
    for (; i + kUnroll <= width; i += kUnroll) {
#pragma GCC unroll 8
      for (int j = i; j < i + kUnroll; ++j) sum += Summand(exponentials[input[j]]);
    }
    for (; i < width; ++i) sum += Summand(exponentials[input[i]]);
    const Scaling by = ScalingOf(sum);
    for (i = 0; i + kUnroll <= width; i += kUnroll) {
#pragma GCC unroll 8
      for (int j = i; j < i + kUnroll; ++j) output[j] = Probability(exponentials[input[j]], by);
    }
    for (; i < width; ++i) output[i] = Probability(exponentials[input[i]], by);
#endif
  }
}

}  // namespace mcuformer
