#include "tflm/register.h"

namespace mcuformer {

void AllRegistrations(TFLMRegistration* registrations) {
  registrations[0] = Register_MCUFORMER_ATTENTION();
  registrations[1] = Register_MCUFORMER_FULLY_CONNECTED();
  registrations[2] = Register_MCUFORMER_GELU();
  registrations[3] = Register_MCUFORMER_LAYER_NORM();
  registrations[4] = Register_MCUFORMER_MEAN_POOL();
  registrations[5] = Register_MCUFORMER_MLP();
  registrations[6] = Register_MCUFORMER_PATCH_EMBED();
}

}  // namespace mcuformer
