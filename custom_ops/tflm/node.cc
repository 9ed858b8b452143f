#include "tflm/node.h"

namespace mcuformer {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 30;
constexpr int kMaxShift = 31;

const char* TypeName(int type) {
  switch (type) {
    case kTfLiteInt8:
      return "int8";
    case kTfLiteInt16:
      return "int16";
    case kTfLiteInt32:
      return "int32";
    default:
      return "of another type";
  }
}

// Whether multiplier and shift lie where the arithmetic is defined.
bool IsValid(const QuantizedMultiplier& factor) {
  return factor.multiplier >= 0 && factor.shift >= -kMaxShift && factor.shift <= kMaxShift;
}

}  // namespace

int NumInputs(const TfLiteNode* node) { return node->inputs == nullptr ? 0 : node->inputs->size; }

TfLiteEvalTensor* Input(TfLiteContext* context, const TfLiteNode* node, int position) {
  if (position >= NumInputs(node) || node->inputs->data[position] < 0) return nullptr;
  return tflm::GetEvalTensor(context, node->inputs->data[position]);
}

TfLiteEvalTensor* Output(TfLiteContext* context, const TfLiteNode* node) {
  if (node->outputs == nullptr || node->outputs->size != 1 || node->outputs->data[0] < 0) {
    return nullptr;
  }
  return tflm::GetEvalTensor(context, node->outputs->data[0]);
}

bool CheckMatrix(const char* name, const char* which, const TfLiteEvalTensor* tensor,
                 uint32_t types, int* rows, int* width) {
  if (tensor == nullptr) {
    MCUFORMER_LOG("%s: %s is missing", name, which);
    return false;
  }
  const int type = static_cast<int>(tensor->type);
  if (type < 0 || type > 31 || ((types >> type) & 1) == 0) {
    MCUFORMER_LOG("%s: %s is %s (type %d); allowed:%s%s%s", name, which, TypeName(type), type,
                  types & kInt8 ? " int8" : "", types & kInt16 ? " int16" : "",
                  types & kInt32 ? " int32" : "");
    return false;
  }
  if (MatrixShape(tensor, rows, width)) return true;
  MCUFORMER_LOG(
      "%s: the shape of %s is not allowed: rank 1 or more, no size below 1, at most "
      "2^30 elements",
      name, which);
  return false;
}

bool CheckSize(const char* name, const char* which, const char* size_name, int size, int low,
               int high) {
  if (size >= low && size <= high) return true;
  MCUFORMER_LOG("%s: %s has %s %d; allowed: %d to %d", name, which, size_name, size, low, high);
  return false;
}

bool CheckShape(const char* name, const char* which, const TfLiteEvalTensor* tensor, uint32_t types,
                int rows, int width) {
  int found_rows = 0, found_width = 0;
  return CheckMatrix(name, which, tensor, types, &found_rows, &found_width) &&
         CheckSize(name, which, "rows", found_rows, rows, rows) &&
         CheckSize(name, which, "width", found_width, width, width);
}

bool CheckElements(const char* name, const char* which, const TfLiteEvalTensor* tensor,
                   uint32_t types, int64_t elements) {
  int rows = 0, width = 0;
  if (!CheckMatrix(name, which, tensor, types, &rows, &width)) return false;
  if (static_cast<int64_t>(rows) * width == elements) return true;
  MCUFORMER_LOG("%s: %s has %d elements; needed: %d", name, which, rows * width,
                static_cast<int>(elements));
  return false;
}

bool CheckConstant(const char* name, const char* which, TfLiteEvalTensor* tensor, TfLiteType type,
                   int64_t elements) {
  if (!CheckElements(name, which, tensor, TypeBit(type), elements)) return false;
  if (tflm::Data(tensor) != nullptr) return true;
  MCUFORMER_LOG("%s: %s must be a constant", name, which);
  return false;
}

bool CheckOption(const char* name, const Options& options, const char* option, int32_t low,
                 int32_t high, int32_t* value) {
  if (!options.Get(option, value)) {
    MCUFORMER_LOG("%s: option %s is missing or no 32-bit integer", name, option);
    return false;
  }
  if (*value >= low && *value <= high) return true;
  MCUFORMER_LOG("%s: option %s is %d; allowed: %d to %d", name, option, static_cast<int>(*value),
                static_cast<int>(low), static_cast<int>(high));
  return false;
}

bool CheckZeroPoint(const char* name, const Options& options, const char* option, TfLiteType type,
                    int32_t* value) {
  const bool narrow = type == kTfLiteInt8;
  return CheckOption(name, options, option, narrow ? INT8_MIN : INT16_MIN,
                     narrow ? INT8_MAX : INT16_MAX, value);
}

bool CheckMultiplier(const char* name, const Options& options, const char* multiplier_option,
                     const char* shift_option, QuantizedMultiplier* factor) {
  return CheckOption(name, options, multiplier_option, 0, INT32_MAX, &factor->multiplier) &&
         CheckOption(name, options, shift_option, -kMaxShift, kMaxShift, &factor->shift);
}

bool CheckResidualScale(const char* name, const Options& options, TfLiteType type,
                        ResidualScale* scale) {
  return CheckZeroPoint(name, options, "residual_zero_point", type, &scale->zero_point) &&
         CheckMultiplier(name, options, "residual_multiplier", "residual_shift", &scale->rescale);
}

bool CheckWeightBits(const char* name, const Options& options, int8_t* weight_bits) {
  if (!CheckOption(name, options, "weight_bits", 4, 8, weight_bits)) return false;
  if (*weight_bits == 4 || *weight_bits == 8) return true;
  MCUFORMER_LOG("%s: option weight_bits is %d; allowed: 4, 8", name,
                static_cast<int>(*weight_bits));
  return false;
}

bool CheckBlockTokens(const char* name, const Options& options, int* block_tokens) {
  *block_tokens = kBlockTokens;
  int32_t found = 0;
  if (!options.Get("block_tokens", &found)) return true;
  if (!CheckOption(name, options, "block_tokens", kBlockTokens, kMaxBlockTokens, &found)) {
    return false;
  }
  *block_tokens = static_cast<int>(found);
  if (found % kBlockTokens == 0) return true;
  MCUFORMER_LOG("%s: option block_tokens is %d; allowed: multiples of %d", name,
                static_cast<int>(found), kBlockTokens);
  return false;
}

bool CheckNorm(const char* name, TfLiteContext* context, const TfLiteNode* node, int position,
               const Options& options, int width, LayerNormParams* params) {
  TfLiteEvalTensor* beta = Input(context, node, position + 1);
  params->width = width;
  if (!CheckSize(name, "input", "width", width, 1, kLayerNormMaxWidth) ||
      !CheckConstant(name, "gamma", Input(context, node, position), kTfLiteInt16, width) ||
      !CheckConstant(name, "beta", beta, kTfLiteInt32, width)) {
    return false;
  }
  const auto* values = static_cast<const int32_t*>(tflm::Data(beta));
  for (int i = 0; i < width; ++i) {
    if (values[i] > kLayerNormMaxBeta || values[i] < -kLayerNormMaxBeta) {
      MCUFORMER_LOG("%s: beta holds a value beyond 2^30", name);
      return false;
    }
  }
  return CheckOption(name, options, "normalised_bits", 0, kLayerNormMaxNormalisedBits,
                     &params->normalised_bits) &&
         CheckOption(name, options, "epsilon", 0, INT32_MAX, &params->epsilon) &&
         CheckOption(name, options, "iterations", 0, kLayerNormMaxIterations, &params->iterations);
}

bool CheckUnitConstants(const char* name, const char* which, TfLiteEvalTensor* constants,
                        int units) {
  if (!CheckConstant(name, which, constants, kTfLiteInt32, int64_t{3} * units)) return false;
  const auto* values = static_cast<const UnitConstants*>(tflm::Data(constants));
  for (int i = 0; i < units; ++i) {
    if (!IsValid({values[i].multiplier, values[i].shift})) {
      MCUFORMER_LOG("%s: %s has a multiplier below 0 or a shift beyond 31 at unit %d", name, which,
                    i);
      return false;
    }
  }
  return true;
}

bool CheckLayer(const char* name, const char* which, TfLiteContext* context, const TfLiteNode* node,
                int position, int units, int width, int weight_bits) {
  return CheckSize(name, which, "units", units, 1, kMaxLayerWidth) &&
         CheckSize(name, which, "width", width, 1, kMaxLayerWidth) &&
         CheckConstant(name, which, Input(context, node, position), kTfLiteInt8,
                       static_cast<int64_t>(PackedWeightBytes(units, width, weight_bits))) &&
         CheckUnitConstants(name, which, Input(context, node, position + 1), units);
}

int UnitsOf(TfLiteContext* context, const TfLiteNode* node, int position) {
  int units = 0, fields = 0;
  return MatrixShape(Input(context, node, position + 1), &units, &fields) && fields == 3 ? units
                                                                                         : 0;
}

PackedLayer LayerAt(TfLiteContext* context, const TfLiteNode* node, int position, int weight_bits) {
  return {DataAt<int8_t>(context, node, position),
          DataAt<UnitConstants>(context, node, position + 1), weight_bits};
}

bool CheckAliasing(const char* name, const char* which, const void* input, int64_t input_bytes,
                   const void* output, int64_t output_bytes, bool may_start) {
  if (may_start && input == output) return true;
  if (!Overlap(input, input_bytes, output, output_bytes)) return true;
  MCUFORMER_LOG("%s: the memory plan lays the output over %s; allowed: %s", name, which,
                may_start ? "apart, or the same start" : "apart");
  return false;
}

TfLiteStatus RequestScratch(const char* name, TfLiteContext* context, size_t bytes,
                            int16_t* index) {
  int found = 0;
  if (tflm::RequestScratchBuffer(context, bytes, &found) != kTfLiteOk) return kTfLiteError;
  MCUFORMER_ENSURE(found <= INT16_MAX, name, "the model has too many scratch buffers");
  *index = static_cast<int16_t>(found);
  return kTfLiteOk;
}

bool MatrixShape(const TfLiteEvalTensor* tensor, int* rows, int* width) {
  if (tensor == nullptr || tensor->dims == nullptr || tensor->dims->size < 1) return false;
  int64_t elements = 1;
  for (int i = 0; i < tensor->dims->size; ++i) {
    if (tensor->dims->data[i] < 1) return false;
    elements *= tensor->dims->data[i];
    if (elements > kMaxElements) return false;
  }
  *width = tensor->dims->data[tensor->dims->size - 1];
  *rows = static_cast<int>(elements / *width);
  return true;
}

bool Overlap(const void* a, int64_t a_size, const void* b, int64_t b_size) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(a);
  const uintptr_t second = reinterpret_cast<uintptr_t>(b);
  return first < second + static_cast<uintptr_t>(b_size) &&
         second < first + static_cast<uintptr_t>(a_size);
}

}  // namespace mcuformer
