#include "kernels/add.h"

namespace mcuformer {
namespace {

// Fractional bits of a summand, as TFLite takes them.
template <typename T>
constexpr int kLeftShift = sizeof(T) == 1 ? 20 : 15;

// The factor of the summand with the greater scale; exact, since a shifted value is even.
class Half {
 public:
  static bool Serves(const QuantizedMultiplier& factor) {
    return factor.multiplier == int32_t{1} << 30 && factor.shift == 0;
  }
  int32_t operator()(int32_t x) const { return x >> 1; }
};

template <typename T, typename FirstRescale, typename SecondRescale, typename OutputRescale>
void AddBy(const AddParams& params, const FirstRescale& rescale_first,
           const SecondRescale& rescale_second, const OutputRescale& rescale, int size,
           const T* first, const T* second, T* output) {
  constexpr int32_t kOne = 1 << kLeftShift<T>;
  for (int i = 0; i < size; ++i) {
    const int32_t sum = rescale_first((first[i] - params.first.zero_point) * kOne) +
                        rescale_second((second[i] - params.second.zero_point) * kOne);
    output[i] = static_cast<T>(rescale.template To<T>(sum, params.output_zero_point));
  }
}

}  // namespace

template <typename T>
void Add(const AddParams& params, int size, const T* first, const T* second, T* output) {
  const QuantizedMultiplier& by_first = params.first.rescale;
  const QuantizedMultiplier& by_second = params.second.rescale;
  const QuantizedMultiplier& by = params.output;
  if (Half::Serves(by_second) && !Half::Serves(by_first)) {
    const AddParams swapped = {params.second, params.first, params.output_zero_point, by};
    return Add(swapped, size, second, first, output);
  }
  if (Half::Serves(by_first) && RescaleDown::Serves(by_second.multiplier, by_second.shift) &&
      RescaleDown::Serves(by.multiplier, by.shift)) {
    AddBy(params, Half(), RescaleDown(by_second.multiplier, by_second.shift),
          RescaleDown(by.multiplier, by.shift), size, first, second, output);
  } else {
    AddBy(params, AnyRescale(by_first.multiplier, by_first.shift),
          AnyRescale(by_second.multiplier, by_second.shift), AnyRescale(by.multiplier, by.shift),
          size, first, second, output);
  }
}

template void Add<int8_t>(const AddParams&, int, const int8_t*, const int8_t*, int8_t*);
template void Add<int16_t>(const AddParams&, int, const int16_t*, const int16_t*, int16_t*);

}  // namespace mcuformer
