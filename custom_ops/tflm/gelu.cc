#include "kernels/gelu.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerGelu";
constexpr int kTableSize = 256;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0, width = 0, output_rows = 0, output_width = 0;
  MCUFORMER_ENSURE(MatrixShape(input, &rows, &width) && input->type == kTfLiteInt8, kName,
                   "bad input");
  MCUFORMER_ENSURE(MatrixShape(output, &output_rows, &output_width) &&
                       output->type == kTfLiteInt8 && output_rows == rows && output_width == width,
                   kName, "bad output");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 1), kTfLiteInt8, kTableSize), kName,
                   "bad table");
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  TfLiteEvalTensor* input = Input(context, node, 0);
  int rows = 0, width = 0;
  MatrixShape(input, &rows, &width);
  const auto* source = static_cast<const int8_t*>(tflm::Data(input));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const int64_t size = static_cast<int64_t>(rows) * width;
  MCUFORMER_ENSURE(source == output || !Overlap(source, size, output, size), kName,
                   "the plan shifts the output over the input");
  Gelu(rows * width, source, static_cast<const int8_t*>(tflm::Data(Input(context, node, 1))),
       output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_GELU() {
  return MakeRegistration(kName, nullptr, Prepare, Eval);
}

}  // namespace mcuformer
