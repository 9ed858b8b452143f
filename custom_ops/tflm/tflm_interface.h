// The part of TFLM's binary interface that our adapters touch, declared from its published
// layout (tensorflow/lite/core/c/common.h with TF_LITE_STATIC_MEMORY,
// micro/micro_common.h, micro/micro_mutable_op_resolver.h). TfLiteContext stays opaque: its
// layout changes. register.cc probes what it can before any of this is used.
#ifndef MCUFORMER_TFLM_TFLM_INTERFACE_H_
#define MCUFORMER_TFLM_TFLM_INTERFACE_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

enum TfLiteType {
  kTfLiteInt32 = 2,
  kTfLiteInt16 = 7,
  kTfLiteInt8 = 9,
  kTfLiteUInt16 = 17,
};

struct TfLiteContext;

struct TfLiteIntArray {
  int size;
  int data[];
};

struct TfLiteEvalTensor {
  void* data;
  TfLiteIntArray* dims;
  TfLiteType type;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
};

struct TFLMRegistration {
  void* (*init)(TfLiteContext* context, const char* buffer, size_t length);
  void (*free)(TfLiteContext* context, void* buffer);
  TfLiteStatus (*prepare)(TfLiteContext* context, TfLiteNode* node);
  TfLiteStatus (*invoke)(TfLiteContext* context, TfLiteNode* node);
  void (*reset)(TfLiteContext* context, void* buffer);
  int32_t builtin_code;
  const char* custom_name;
};

#ifndef MCUFORMER_LOG
#define MCUFORMER_LOG(...)        \
  do {                            \
    fprintf(stderr, __VA_ARGS__); \
    fputc('\n', stderr);          \
  } while (0)
#endif

namespace mcuformer {
namespace tflm {

// Found by name in the process when the operators are registered (register.cc).
struct ContextFunctions {
  void* (*allocate_persistent_buffer)(TfLiteContext*, size_t);
  TfLiteStatus (*request_scratch_buffer)(TfLiteContext*, size_t, int*);
  void* (*get_scratch_buffer)(TfLiteContext*, int);
  TfLiteEvalTensor* (*get_eval_tensor)(const TfLiteContext*, int);
};
extern ContextFunctions context_functions;

inline void* AllocatePersistentBuffer(TfLiteContext* context, size_t size) {
  return context_functions.allocate_persistent_buffer(context, size);
}
inline TfLiteStatus RequestScratchBuffer(TfLiteContext* context, size_t size, int* index) {
  return context_functions.request_scratch_buffer(context, size, index);
}
inline void* GetScratchBuffer(TfLiteContext* context, int index) {
  return context_functions.get_scratch_buffer(context, index);
}
inline TfLiteEvalTensor* GetEvalTensor(TfLiteContext* context, int index) {
  return context_functions.get_eval_tensor(context, index);
}
inline void* Data(TfLiteEvalTensor* tensor) { return tensor->data; }

}  // namespace tflm
}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_TFLM_INTERFACE_H_
