#include "kernels/softmax.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerSoftmax";

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  TfLiteEvalTensor* table = Input(context, node, 1);
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, 0), kInt8, &rows, &width) ||
      !CheckSize(kName, "input", "width", width, 1, kSoftmaxMaxWidth) ||
      !CheckShape(kName, "output", Output(context, node), kInt8, rows, width) ||
      !CheckConstant(kName, "table", table, kTfLiteInt32, kSoftmaxTableSize)) {
    return kTfLiteError;
  }
  const auto* values = static_cast<const int32_t*>(tflm::Data(table));
  MCUFORMER_ENSURE(values[kSoftmaxTableSize - 1] == kSoftmaxOne, kName,
                   "the table's last entry must be 2^31 - 1");
  for (int i = 0; i < kSoftmaxTableSize; ++i) {
    MCUFORMER_ENSURE(values[i] >= 0, kName, "the table holds a negative entry");
  }
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  TfLiteEvalTensor* input = Input(context, node, 0);
  int rows = 0, width = 0;
  MatrixShape(input, &rows, &width);
  const auto* source = static_cast<const int8_t*>(tflm::Data(input));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const int64_t size = static_cast<int64_t>(rows) * width;
  if (!CheckAliasing(kName, "input", source, size, output, size, true)) return kTfLiteError;
  Softmax(rows, width, source, static_cast<const int32_t*>(tflm::Data(Input(context, node, 1))),
          output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_SOFTMAX() {
  return MakeRegistration(kName, nullptr, Prepare, Eval);
}

}  // namespace mcuformer
