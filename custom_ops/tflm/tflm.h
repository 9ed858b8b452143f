// TFLM as our adapters see it: the real headers with MCUFORMER_WITH_TFLM, and otherwise the
// little that the tflite-micro wheel's binary interface needs (tflm_interface.h).
#ifndef MCUFORMER_TFLM_TFLM_H_
#define MCUFORMER_TFLM_TFLM_H_

#ifdef MCUFORMER_WITH_TFLM

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_common.h"
#include "tensorflow/lite/micro/micro_context.h"
#include "tensorflow/lite/micro/micro_log.h"

#define MCUFORMER_LOG MicroPrintf

namespace mcuformer {
namespace tflm {

inline void* AllocatePersistentBuffer(TfLiteContext* context, size_t size) {
  return tflite::MicroContextAllocatePersistentBuffer(context, size);
}
inline TfLiteStatus RequestScratchBuffer(TfLiteContext* context, size_t size, int* index) {
  return tflite::MicroContextRequestScratchBufferInArena(context, size, index);
}
inline void* GetScratchBuffer(TfLiteContext* context, int index) {
  return tflite::MicroContextGetScratchBuffer(context, index);
}
inline TfLiteEvalTensor* GetEvalTensor(TfLiteContext* context, int index) {
  return tflite::MicroContextGetEvalTensor(context, index);
}
inline void* Data(TfLiteEvalTensor* tensor) { return tensor->data.data; }

}  // namespace tflm
}  // namespace mcuformer

#else

#include "tflm/tflm_interface.h"

#endif

#endif  // MCUFORMER_TFLM_TFLM_H_
