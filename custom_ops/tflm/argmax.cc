#include "kernels/argmax.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerArgmax";

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  int rows = 0, units = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, 0), kInt8, &rows, &units) ||
      !CheckElements(kName, "output", Output(context, node), kInt32, rows)) {
    return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  TfLiteEvalTensor* input = Input(context, node, 0);
  int rows = 0, units = 0;
  MatrixShape(input, &rows, &units);
  const auto* source = static_cast<const int8_t*>(tflm::Data(input));
  auto* output = static_cast<int32_t*>(tflm::Data(Output(context, node)));
  if (!CheckAliasing(kName, "input", source, static_cast<int64_t>(rows) * units, output,
                     static_cast<int64_t>(sizeof(int32_t)) * rows, false)) {
    return kTfLiteError;
  }
  Argmax(rows, units, source, output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_ARGMAX() {
  return MakeRegistration(kName, nullptr, Prepare, Eval);
}

}  // namespace mcuformer
