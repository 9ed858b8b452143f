// What every adapter needs to check and reach a node's tensors and options.
#ifndef MCUFORMER_TFLM_NODE_H_
#define MCUFORMER_TFLM_NODE_H_

#include "kernels/fixed_point.h"
#include "tflm/options.h"
#include "tflm/tflm.h"

namespace mcuformer {

// Fails the calling Prepare or Eval with a message when a condition does not hold.
#define MCUFORMER_ENSURE(condition, name, what)             \
  do {                                                      \
    if (!(condition)) {                                     \
      MCUFORMER_LOG("%s: %s (%s)", name, what, #condition); \
      return kTfLiteError;                                  \
    }                                                       \
  } while (0)

// An input by position, or null where it is absent.
TfLiteEvalTensor* Input(TfLiteContext* context, const TfLiteNode* node, int position);
TfLiteEvalTensor* Output(TfLiteContext* context, const TfLiteNode* node);

// Rows and width of a tensor seen as a matrix: the last dimension and all before it. False if
// a dimension is not positive or the whole exceeds 2^30 elements.
bool MatrixShape(const TfLiteEvalTensor* tensor, int* rows, int* width);

// Whether a constant of that type has exactly that many elements.
bool IsConstant(TfLiteEvalTensor* tensor, TfLiteType type, int64_t elements);

// Whether multiplier and shift lie where the arithmetic is defined.
bool IsValid(const QuantizedMultiplier& factor);
bool AreShiftsValid(TfLiteEvalTensor* shifts, int count);

// An option that is a zero point of int8.
bool GetZeroPoint(const Options& options, const char* name, int32_t* value);
bool GetMultiplier(const Options& options, const char* multiplier_name, const char* shift_name,
                   QuantizedMultiplier* factor);

// Whether two byte ranges share a byte.
bool Overlap(const void* a, int64_t a_size, const void* b, int64_t b_size);

// An Init that keeps sizeof(T) bytes for the node and remembers its options.
template <typename T>
struct NodeData {
  const void* options;
  size_t options_size;
  T params;
};

template <typename T>
void* InitNode(TfLiteContext* context, const char* buffer, size_t length) {
  void* memory = tflm::AllocatePersistentBuffer(context, sizeof(NodeData<T>));
  if (memory == nullptr) return nullptr;
  auto* data = static_cast<NodeData<T>*>(memory);
  *data = NodeData<T>{buffer, length, T{}};
  return data;
}

inline TFLMRegistration MakeRegistration(const char* name,
                                         void* (*init)(TfLiteContext*, const char*, size_t),
                                         TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*),
                                         TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*)) {
  constexpr int32_t kBuiltinCustom = 32;
  return {init, nullptr, prepare, invoke, nullptr, kBuiltinCustom, name};
}

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_NODE_H_
