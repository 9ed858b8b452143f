// Registration with the TFLM inside the tflite-micro wheel, whose headers are not at hand.
//
// The wheel looks `McuformerRegisterOps` up by name and passes its PythonOpsResolver. We append
// to its array of registrations, after checking that it looks like one; where it does not, the
// answer is false and `McuformerProbeError` tells why.
#include <dlfcn.h>

#include "tflm/options.h"
#include "tflm/register.h"

#define MCUFORMER_EXPORT extern "C" __attribute__((visibility("default")))

namespace mcuformer {
namespace tflm {

ContextFunctions context_functions = {};

}  // namespace tflm

namespace {

constexpr unsigned kResolverCapacity = 200;
constexpr int32_t kMaxBuiltinCode = 1000;

// MicroMutableOpResolver<200> up to the part that we write.
struct ResolverPrefix {
  void* virtual_table;
  TFLMRegistration registrations[kResolverCapacity];
  unsigned length;
};

// A thread is told of its own registrations only.
thread_local const char* probe_error = "";

// TFLM has moved its functions from namespace tflite to tflite::micro; both are looked for.
template <typename Function>
bool Find(const char* in_micro, const char* in_tflite, Function* function) {
  void* symbol = dlsym(RTLD_DEFAULT, in_micro);
  if (symbol == nullptr) symbol = dlsym(RTLD_DEFAULT, in_tflite);
  *function = reinterpret_cast<Function>(symbol);
  return symbol != nullptr;
}

bool FindContextFunctions() {
  tflm::ContextFunctions& found = tflm::context_functions;
  return Find("_ZN6tflite5micro36MicroContextAllocatePersistentBufferEPNS0_13TfLiteContextEm",
              "_ZN6tflite36MicroContextAllocatePersistentBufferEP13TfLiteContextm",
              &found.allocate_persistent_buffer) &&
         Find("_ZN6tflite5micro39MicroContextRequestScratchBufferInArenaEPNS0_13TfLiteContextEmPi",
              "_ZN6tflite39MicroContextRequestScratchBufferInArenaEP13TfLiteContextmPi",
              &found.request_scratch_buffer) &&
         Find("_ZN6tflite5micro28MicroContextGetScratchBufferEPNS0_13TfLiteContextEi",
              "_ZN6tflite28MicroContextGetScratchBufferEP13TfLiteContexti",
              &found.get_scratch_buffer) &&
         Find("_ZN6tflite5micro25MicroContextGetEvalTensorEPKNS0_13TfLiteContextEi",
              "_ZN6tflite25MicroContextGetEvalTensorEPK13TfLiteContexti", &found.get_eval_tensor);
}

// Whether the resolver holds what one freshly filled with builtin operators must hold.
bool LooksLikeResolver(const ResolverPrefix& resolver) {
  if (resolver.length == 0 || resolver.length > kResolverCapacity - kNumOperators) return false;
  for (unsigned i = 0; i < resolver.length; ++i) {
    const TFLMRegistration& entry = resolver.registrations[i];
    if (entry.invoke == nullptr || entry.builtin_code < 0 || entry.builtin_code > kMaxBuiltinCode) {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace mcuformer

MCUFORMER_EXPORT const char* McuformerProbeError() { return mcuformer::probe_error; }

MCUFORMER_EXPORT bool McuformerRegisterOps(void* python_ops_resolver) {
  using mcuformer::ResolverPrefix;
  auto* resolver = static_cast<ResolverPrefix*>(python_ops_resolver);
  static const bool found = mcuformer::FindContextFunctions();  // once, whichever thread is first
  if (!found) {
    mcuformer::probe_error = "it does not export the MicroContext functions";
    return false;
  }
  if (!mcuformer::LooksLikeResolver(*resolver)) {
    mcuformer::probe_error = "its operator resolver has another layout";
    return false;
  }
  mcuformer::AllRegistrations(resolver->registrations + resolver->length);
  resolver->length += mcuformer::kNumOperators;
  return true;
}

// Reads one option, for tests that feed the reader damaged bytes: 1 found, 0 not.
MCUFORMER_EXPORT int McuformerReadOption(const void* data, size_t size, const char* name,
                                         int32_t* value) {
  return mcuformer::Options(data, size).Get(name, value) ? 1 : 0;
}
