#include "kernels/layer_norm.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerLayerNorm";
constexpr int kMaxIterations = 32;

using Data = NodeData<LayerNormParams>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  LayerNormParams& params = data->params;
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0, width = 0;
  MCUFORMER_ENSURE(MatrixShape(input, &params.tokens, &params.width) &&
                       (input->type == kTfLiteInt8 || input->type == kTfLiteInt16) &&
                       params.width <= kLayerNormMaxWidth,
                   kName, "bad input");
  MCUFORMER_ENSURE(MatrixShape(output, &rows, &width) && output->type == kTfLiteInt8 &&
                       rows == params.tokens && width == params.width,
                   kName, "bad output");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 1), kTfLiteInt16, params.width), kName,
                   "bad gamma");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 2), kTfLiteInt32, params.width), kName,
                   "bad beta");
  const Options options(data->options, data->options_size);
  MCUFORMER_ENSURE(GetMultiplier(options, "multiplier", "shift", &params.output) &&
                       GetZeroPoint(options, "output_zero_point", &params.output_zero_point) &&
                       options.Get("epsilon", &params.epsilon) && params.epsilon >= 0 &&
                       options.Get("iterations", &params.iterations) && params.iterations >= 0 &&
                       params.iterations <= kMaxIterations,
                   kName, "bad options");
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const LayerNormParams& params = static_cast<Data*>(node->user_data)->params;
  TfLiteEvalTensor* input = Input(context, node, 0);
  const void* source = tflm::Data(input);
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const auto* gamma = static_cast<const int16_t*>(tflm::Data(Input(context, node, 1)));
  const auto* beta = static_cast<const int32_t*>(tflm::Data(Input(context, node, 2)));
  const int64_t size = static_cast<int64_t>(params.tokens) * params.width;
  const bool wide = input->type == kTfLiteInt16;
  MCUFORMER_ENSURE(
      !Overlap(source, wide ? 2 * size : size, output, size) || (!wide && source == output), kName,
      "the plan lays the output over the input");
  if (wide) {
    LayerNorm(params, static_cast<const int16_t*>(source), gamma, beta, output);
  } else {
    LayerNorm(params, static_cast<const int8_t*>(source), gamma, beta, output);
  }
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_LAYER_NORM() {
  return MakeRegistration(kName, InitNode<LayerNormParams>, Prepare, Eval);
}

}  // namespace mcuformer
