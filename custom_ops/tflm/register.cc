#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr TFLMRegistration (*kRegisters[])() = {
    Register_MCUFORMER_ADD,
    Register_MCUFORMER_ARGMAX,
    Register_MCUFORMER_ATTENTION,
    Register_MCUFORMER_CONV_STEM,
    Register_MCUFORMER_FULLY_CONNECTED,
    Register_MCUFORMER_GELU,
    Register_MCUFORMER_LAYER_NORM,
    Register_MCUFORMER_MEAN_POOL,
    Register_MCUFORMER_MLP,
    Register_MCUFORMER_PATCH_EMBED,
    Register_MCUFORMER_SOFTMAX,
    Register_MCUFORMER_TOKEN_POOL,
};
static_assert(sizeof(kRegisters) / sizeof(kRegisters[0]) == kNumOperators,
              "kNumOperators must count all operators");

}  // namespace

void AllRegistrations(TFLMRegistration* registrations) {
  for (int i = 0; i < kNumOperators; ++i) registrations[i] = kRegisters[i]();
}

}  // namespace mcuformer
