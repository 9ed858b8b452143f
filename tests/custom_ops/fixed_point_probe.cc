// Calls the inline functions of kernels/fixed_point.h on the emulator.
#include "kernels/fixed_point.h"

namespace mcuformer {
namespace {

template <typename Rescale>
void Run(const Rescale& rescale, const int32_t* x, int size, int32_t zero_point,
         int32_t (*results)[3]) {
  for (int i = 0; i < size; ++i) {
    results[i][0] = rescale(x[i]);
    results[i][1] = rescale.template To<int8_t>(x[i], zero_point);
    results[i][2] = rescale.template To<int16_t>(x[i], zero_point);
  }
}

}  // namespace

// results: int32[size, 3], the rescaled x, and that plus the zero point in int8 and int16.
void ProbeAnyRescale(const int32_t* x, int size, int32_t multiplier, int32_t shift,
                     int32_t zero_point, int32_t (*results)[3]) {
  Run(AnyRescale(multiplier, shift), x, size, zero_point, results);
}

void ProbeRescaleDown(const int32_t* x, int size, int32_t multiplier, int32_t shift,
                      int32_t zero_point, int32_t (*results)[3]) {
  if (RescaleDown::Serves(multiplier, shift)) {
    Run(RescaleDown(multiplier, shift), x, size, zero_point, results);
  }
}

// results: int16[size], rescaled sums and residuals of another scale.
void ProbeResidualAdd(const int32_t* rescaled, const int16_t* residuals, int size,
                      int32_t residual_zero_point, int32_t multiplier, int32_t shift,
                      int32_t zero_point, int16_t* results) {
  const ResidualAdd add({residual_zero_point, {multiplier, shift}});
  for (int i = 0; i < size; ++i) {
    results[i] = static_cast<int16_t>(add.To<int16_t>(rescaled[i], residuals[i], zero_point));
  }
}

}  // namespace mcuformer
