#include "tflm/node.h"

namespace mcuformer {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 30;
constexpr int kMaxShift = 31;

}  // namespace

TfLiteEvalTensor* Input(TfLiteContext* context, const TfLiteNode* node, int position) {
  if (position >= node->inputs->size || node->inputs->data[position] < 0) return nullptr;
  return tflm::GetEvalTensor(context, node->inputs->data[position]);
}

TfLiteEvalTensor* Output(TfLiteContext* context, const TfLiteNode* node) {
  if (node->outputs->size != 1) return nullptr;
  return tflm::GetEvalTensor(context, node->outputs->data[0]);
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

bool IsConstant(TfLiteEvalTensor* tensor, TfLiteType type, int64_t elements) {
  int rows = 0, width = 0;
  return MatrixShape(tensor, &rows, &width) && tensor->type == type &&
         tflm::Data(tensor) != nullptr && static_cast<int64_t>(rows) * width == elements;
}

bool IsValid(const QuantizedMultiplier& factor) {
  return factor.multiplier >= 0 && factor.shift >= -kMaxShift && factor.shift <= kMaxShift;
}

bool AreShiftsValid(TfLiteEvalTensor* shifts, int count) {
  const int8_t* values = static_cast<const int8_t*>(tflm::Data(shifts));
  for (int i = 0; i < count; ++i) {
    if (values[i] < -kMaxShift || values[i] > kMaxShift) return false;
  }
  return true;
}

bool GetZeroPoint(const Options& options, const char* name, int32_t* value) {
  return options.Get(name, value) && *value >= INT8_MIN && *value <= INT8_MAX;
}

bool GetMultiplier(const Options& options, const char* multiplier_name, const char* shift_name,
                   QuantizedMultiplier* factor) {
  return options.Get(multiplier_name, &factor->multiplier) &&
         options.Get(shift_name, &factor->shift) && IsValid(*factor);
}

bool Overlap(const void* a, int64_t a_size, const void* b, int64_t b_size) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(a);
  const uintptr_t second = reinterpret_cast<uintptr_t>(b);
  return first < second + static_cast<uintptr_t>(b_size) &&
         second < first + static_cast<uintptr_t>(a_size);
}

}  // namespace mcuformer
