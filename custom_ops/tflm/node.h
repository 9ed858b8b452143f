// What every adapter needs to check and reach a node's tensors and options.
#ifndef MCUFORMER_TFLM_NODE_H_
#define MCUFORMER_TFLM_NODE_H_

#include "kernels/layer_norm.h"
#include "kernels/packed_layer.h"
#include "kernels/token_blocks.h"
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

// A model may leave a node's list of inputs or outputs out: TFLM hands on null then.
int NumInputs(const TfLiteNode* node);
// An input by position, or null where it is absent.
TfLiteEvalTensor* Input(TfLiteContext* context, const TfLiteNode* node, int position);
TfLiteEvalTensor* Output(TfLiteContext* context, const TfLiteNode* node);

// The checks below log which tensor or option of the operator `name` is wrong, and what is
// allowed, and return false.

// A set of types for CheckMatrix.
constexpr uint32_t TypeBit(TfLiteType type) { return uint32_t{1} << type; }
constexpr uint32_t kInt8 = TypeBit(kTfLiteInt8);
constexpr uint32_t kInt16 = TypeBit(kTfLiteInt16);
constexpr uint32_t kInt32 = TypeBit(kTfLiteInt32);

// Whether a tensor is a matrix (see MatrixShape) of one of the types; gives rows and width.
bool CheckMatrix(const char* name, const char* which, const TfLiteEvalTensor* tensor,
                 uint32_t types, int* rows, int* width);
// Whether a tensor of one of the types has that shape, seen as a matrix.
bool CheckShape(const char* name, const char* which, const TfLiteEvalTensor* tensor, uint32_t types,
                int rows, int width);
// Whether a tensor of one of the types has that many elements.
bool CheckElements(const char* name, const char* which, const TfLiteEvalTensor* tensor,
                   uint32_t types, int64_t elements);
// Whether rows or width of a tensor lie within bounds.
bool CheckSize(const char* name, const char* which, const char* size_name, int size, int low,
               int high);
// Whether a tensor is a constant of that type with exactly that many elements.
bool CheckConstant(const char* name, const char* which, TfLiteEvalTensor* tensor, TfLiteType type,
                   int64_t elements);
// Whether there is such an option within [low, high]; gives its value.
bool CheckOption(const char* name, const Options& options, const char* option, int32_t low,
                 int32_t high, int32_t* value);
// The same for another type; int and int32_t are two in newlib.
template <typename Integer>
bool CheckOption(const char* name, const Options& options, const char* option, int32_t low,
                 int32_t high, Integer* value) {
  int32_t found = 0;
  if (!CheckOption(name, options, option, low, high, &found)) return false;
  *value = static_cast<Integer>(found);
  return true;
}
// The same for a zero point of a type, and for a multiplier with its shift.
bool CheckZeroPoint(const char* name, const Options& options, const char* option, TfLiteType type,
                    int32_t* value);
bool CheckMultiplier(const char* name, const Options& options, const char* multiplier_option,
                     const char* shift_option, QuantizedMultiplier* factor);
// The summands' scale of a residual of that type.
bool CheckResidualScale(const char* name, const Options& options, TfLiteType type,
                        ResidualScale* scale);
// Whether the option weight_bits is 8 or 4.
bool CheckWeightBits(const char* name, const Options& options, int8_t* weight_bits);
// Whether the option block_tokens, of tokens that one pass over the weights serves, is a positive
// multiple of 4; without the option they are 4.
bool CheckBlockTokens(const char* name, const Options& options, int* block_tokens);
// Whether gamma and, behind it, beta and the options are those of a layer normalisation.
bool CheckNorm(const char* name, TfLiteContext* context, const TfLiteNode* node, int position,
               const Options& options, int width, LayerNormParams* params);
// A layer has two inputs: packed weights (kernels/dot.h), then int32[units, 3] of constants.
bool CheckLayer(const char* name, const char* which, TfLiteContext* context, const TfLiteNode* node,
                int position, int units, int width, int weight_bits);
bool CheckUnitConstants(const char* name, const char* which, TfLiteEvalTensor* constants,
                        int units);
// Whether the output lies apart from an input or, where `may_start` says so, starts with it.
bool CheckAliasing(const char* name, const char* which, const void* input, int64_t input_bytes,
                   const void* output, int64_t output_bytes, bool may_start);

// Widths at which no sum of int8 products leaves 32 bits.
constexpr int kMaxLayerWidth = 1 << 16;
// At which no size of scratch leaves 32 bits.
constexpr int kMaxBlockTokens = 1 << 12;

// Units of the layer at that position, or 0 where it has no constants of that shape.
int UnitsOf(TfLiteContext* context, const TfLiteNode* node, int position);
// The layer's pointers for a kernel; null where it is absent.
PackedLayer LayerAt(TfLiteContext* context, const TfLiteNode* node, int position, int weight_bits);
// A tensor's data; null where it is absent.
template <typename T>
T* DataAt(TfLiteContext* context, const TfLiteNode* node, int position) {
  TfLiteEvalTensor* tensor = Input(context, node, position);
  return tensor == nullptr ? nullptr : static_cast<T*>(tflm::Data(tensor));
}

// Asks for scratch. Its index is kept in 16 bits: TFLM's arena holds what a node remembers.
TfLiteStatus RequestScratch(const char* name, TfLiteContext* context, size_t bytes, int16_t* index);

// Rows and width of a tensor seen as a matrix: the last dimension and all before it. False if
// a dimension is not positive or the whole exceeds 2^30 elements.
bool MatrixShape(const TfLiteEvalTensor* tensor, int* rows, int* width);

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
