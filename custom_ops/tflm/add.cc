#include "kernels/add.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerAdd";
constexpr int32_t kHalf = int32_t{1} << 30;  // with shift 0

using Data = NodeData<AddParams>;

// Reads a factor of at most `greatest` where the shift is 0, of any multiplier where it is less.
bool CheckFactor(const Options& options, const char* multiplier, const char* shift,
                 int32_t greatest, QuantizedMultiplier* factor) {
  return CheckOption(kName, options, shift, -31, 0, &factor->shift) &&
         CheckOption(kName, options, multiplier, 0, factor->shift == 0 ? greatest : INT32_MAX,
                     &factor->multiplier);
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  AddParams& params = data->params;
  const TfLiteEvalTensor* first = Input(context, node, 0);
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "first input", first, kInt8 | kInt16, &rows, &width) ||
      !CheckShape(kName, "second input", Input(context, node, 1), TypeBit(first->type), rows,
                  width) ||
      !CheckShape(kName, "output", Output(context, node), TypeBit(first->type), rows, width)) {
    return kTfLiteError;
  }
  const Options options(data->options, data->options_size);
  if (!CheckZeroPoint(kName, options, "first_zero_point", first->type, &params.first.zero_point) ||
      !CheckZeroPoint(kName, options, "second_zero_point", first->type,
                      &params.second.zero_point) ||
      !CheckZeroPoint(kName, options, "output_zero_point", first->type,
                      &params.output_zero_point) ||
      !CheckFactor(options, "first_multiplier", "first_shift", kHalf, &params.first.rescale) ||
      !CheckFactor(options, "second_multiplier", "second_shift", kHalf, &params.second.rescale) ||
      !CheckFactor(options, "output_multiplier", "output_shift", INT32_MAX, &params.output)) {
    return kTfLiteError;
  }
  return kTfLiteOk;
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  TfLiteEvalTensor* first_tensor = Input(context, node, 0);
  int rows = 0, width = 0;
  MatrixShape(first_tensor, &rows, &width);
  const auto* first = static_cast<const T*>(tflm::Data(first_tensor));
  const auto* second = static_cast<const T*>(tflm::Data(Input(context, node, 1)));
  auto* output = static_cast<T*>(tflm::Data(Output(context, node)));
  const int64_t bytes = static_cast<int64_t>(rows) * width * static_cast<int64_t>(sizeof(T));
  if (!CheckAliasing(kName, "the first input", first, bytes, output, bytes, true) ||
      !CheckAliasing(kName, "the second input", second, bytes, output, bytes, true)) {
    return kTfLiteError;
  }
  Add(static_cast<Data*>(node->user_data)->params, rows * width, first, second, output);
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Input(context, node, 0)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                       : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_ADD() {
  return MakeRegistration(kName, InitNode<AddParams>, Prepare, Eval);
}

}  // namespace mcuformer
