#include "kernels/gelu.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerGelu";
constexpr int kTableSize = 256;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, 0), kInt8, &rows, &width) ||
      !CheckShape(kName, "output", Output(context, node), kInt8, rows, width) ||
      !CheckConstant(kName, "table", Input(context, node, 1), kTfLiteInt8, kTableSize)) {
    return kTfLiteError;
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
  Gelu(rows * width, source, static_cast<const int8_t*>(tflm::Data(Input(context, node, 1))),
       output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_GELU() {
  return MakeRegistration(kName, nullptr, Prepare, Eval);
}

}  // namespace mcuformer
