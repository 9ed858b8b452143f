#include "tflm/input_source.h"

namespace mcuformer {

#ifdef MCUFORMER_WITH_TFLM

const InputSource* GetInputSource(TfLiteContext* context) {
  return static_cast<const InputSource*>(tflite::GetMicroContext(context)->external_context());
}

#else

namespace {

thread_local InputSource wheel_source = {};

}  // namespace

const InputSource* GetInputSource(TfLiteContext*) { return &wheel_source; }

// Names the source of all models that this thread runs from here on; null takes it away.
extern "C" __attribute__((visibility("default"))) void McuformerSetInputSource(
    bool (*read)(void* context, int row, int rows, int8_t* pixels), void* context) {
  wheel_source = {read, context};
}

#endif

}  // namespace mcuformer
