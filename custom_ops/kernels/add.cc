#include "kernels/add.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/add.h"
#endif

namespace mcuformer {
namespace {

// Fractional bits of a summand, as TFLite takes them.
template <typename T>
constexpr int kLeftShift = sizeof(T) == 1 ? 20 : 15;

// Whether a factor is a half: that of the summand with the greater scale is.
bool IsHalf(const QuantizedMultiplier& factor) {
  return factor.multiplier == int32_t{1} << 30 && factor.shift == 0;
}

template <typename T>
void AddAny(const AddParams& params, int size, const T* first, const T* second, T* output) {
  constexpr int32_t kOne = 1 << kLeftShift<T>;
  const auto rescale_by = [](const QuantizedMultiplier& factor) {
    return AnyRescale(factor.multiplier, factor.shift);
  };
  const AnyRescale rescale_first = rescale_by(params.first.rescale),
                   rescale_second = rescale_by(params.second.rescale),
                   rescale = rescale_by(params.output);
  for (int i = 0; i < size; ++i) {
    const int32_t sum = rescale_first((first[i] - params.first.zero_point) * kOne) +
                        rescale_second((second[i] - params.second.zero_point) * kOne);
    output[i] = static_cast<T>(rescale.template To<T>(sum, params.output_zero_point));
  }
}

#ifndef MCUFORMER_CORTEX_M_MVE

// The factor of the first summand is a half, exact since what it multiplies is even.
template <typename T>
void AddToHalf(const AddParams& params, const RescaleDown& rescale_second,
               const RescaleDown& rescale, int size, const T* first, const T* second, T* output) {
  constexpr int32_t kOne = 1 << kLeftShift<T>;
  const int32_t of_first = -params.first.zero_point * (kOne / 2);
  const int32_t of_second = -params.second.zero_point * kOne;
  const int32_t zero_point = params.output_zero_point;
  const auto add = [=](const T* x, const T* y, T* to) {
    const int32_t sum = rescale_second.Plus(*y * kOne + of_second, *x * (kOne / 2) + of_first);
    *to = static_cast<T>(SaturateTo<T>(rescale.Plus(sum, zero_point)));
  };
  constexpr int kUnroll = 4;
  const T* end = first + (size & ~(kUnroll - 1));
  for (; first != end; first += kUnroll, second += kUnroll, output += kUnroll) {
#pragma GCC unroll 4
    for (int i = 0; i < kUnroll; ++i) add(first + i, second + i, output + i);
  }
  for (int i = 0; i < (size & (kUnroll - 1)); ++i) add(first + i, second + i, output + i);
}

#endif

}  // namespace

template <typename T>
void Add(const AddParams& params, int size, const T* first, const T* second, T* output) {
  const QuantizedMultiplier& by_first = params.first.rescale;
  const QuantizedMultiplier& by_second = params.second.rescale;
  const QuantizedMultiplier& by = params.output;
  if (IsHalf(by_second) && !IsHalf(by_first)) {
    const AddParams swapped = {params.second, params.first, params.output_zero_point, by};
    return Add(swapped, size, second, first, output);
  }
#ifdef MCUFORMER_CORTEX_M_MVE
  const auto add_eights = IsHalf(by_first) ? mve::AddEights<true, kLeftShift<T>, T>
                                           : mve::AddEights<false, kLeftShift<T>, T>;
  const int done = add_eights(params, size, first, second, output);
  AddAny(params, size - done, first + done, second + done, output + done);
#else
  if (IsHalf(by_first) && RescaleDown::Serves(by_second.multiplier, by_second.shift) &&
      RescaleDown::Serves(by.multiplier, by.shift)) {
    AddToHalf(params, RescaleDown(by_second.multiplier, by_second.shift),
              RescaleDown(by.multiplier, by.shift), size, first, second, output);
  } else {
    AddAny(params, size, first, second, output);
  }
#endif
}

template void Add<int8_t>(const AddParams&, int, const int8_t*, const int8_t*, int8_t*);
template void Add<int16_t>(const AddParams&, int, const int16_t*, const int16_t*, int16_t*);

}  // namespace mcuformer
