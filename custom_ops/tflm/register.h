// Registration of our operators.
#ifndef MCUFORMER_TFLM_REGISTER_H_
#define MCUFORMER_TFLM_REGISTER_H_

#include "tflm/tflm.h"

namespace mcuformer {

TFLMRegistration Register_MCUFORMER_ADD();
TFLMRegistration Register_MCUFORMER_ARGMAX();
TFLMRegistration Register_MCUFORMER_ATTENTION();
TFLMRegistration Register_MCUFORMER_CONV_STEM();
TFLMRegistration Register_MCUFORMER_FULLY_CONNECTED();
TFLMRegistration Register_MCUFORMER_GELU();
TFLMRegistration Register_MCUFORMER_LAYER_NORM();
TFLMRegistration Register_MCUFORMER_MEAN_POOL();
TFLMRegistration Register_MCUFORMER_MLP();
TFLMRegistration Register_MCUFORMER_PATCH_EMBED();
TFLMRegistration Register_MCUFORMER_SOFTMAX();
TFLMRegistration Register_MCUFORMER_TOKEN_POOL();

constexpr int kNumOperators = 12;

// Writes all registrations to registrations[kNumOperators].
void AllRegistrations(TFLMRegistration* registrations);

#ifdef MCUFORMER_WITH_TFLM
// Adds all our operators to a MicroMutableOpResolver of at least kNumOperators. TFLM keeps a
// pointer to each name, which is static, and copies the registration.
template <typename Resolver>
TfLiteStatus RegisterMcuformerOps(Resolver* resolver) {
  static TFLMRegistration registrations[kNumOperators];
  AllRegistrations(registrations);
  for (TFLMRegistration& registration : registrations) {
    if (resolver->AddCustom(registration.custom_name, &registration) != kTfLiteOk) {
      return kTfLiteError;
    }
  }
  return kTfLiteOk;
}
#endif

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_REGISTER_H_
