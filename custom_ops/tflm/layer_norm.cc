#include "kernels/layer_norm.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerLayerNorm";

struct LayerNormData {
  LayerNormParams params;
  int tokens;  // of the output: the leading ones of the input
};
using Data = NodeData<LayerNormData>;

bool CheckTensors(TfLiteContext* context, TfLiteNode* node, LayerNormData* data) {
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  TfLiteEvalTensor* beta = Input(context, node, 2);
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "input", input, kInt8 | kInt16, &rows, &data->params.width) ||
      !CheckSize(kName, "input", "width", data->params.width, 1, kLayerNormMaxWidth) ||
      !CheckMatrix(kName, "output", output, kInt8, &data->tokens, &width) ||
      !CheckSize(kName, "output", "rows", data->tokens, 1, rows) ||
      !CheckSize(kName, "output", "width", width, data->params.width, data->params.width) ||
      !CheckConstant(kName, "gamma", Input(context, node, 1), kTfLiteInt16, width) ||
      !CheckConstant(kName, "beta", beta, kTfLiteInt32, width)) {
    return false;
  }
  const auto* values = static_cast<const int32_t*>(tflm::Data(beta));
  for (int i = 0; i < width; ++i) {
    if (values[i] > kLayerNormMaxBeta || values[i] < -kLayerNormMaxBeta) {
      MCUFORMER_LOG("%s: beta holds a value beyond 2^30", kName);
      return false;
    }
  }
  return true;
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  LayerNormParams& params = data->params.params;
  const Options options(data->options, data->options_size);
  if (!CheckTensors(context, node, &data->params) ||
      !CheckOption(kName, options, "normalised_bits", 0, kLayerNormMaxNormalisedBits,
                   &params.normalised_bits) ||
      !CheckOption(kName, options, "epsilon", 0, INT32_MAX, &params.epsilon) ||
      !CheckOption(kName, options, "iterations", 0, kLayerNormMaxIterations, &params.iterations)) {
    return kTfLiteError;
  }
  return kTfLiteOk;
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  const LayerNormData& data = static_cast<Data*>(node->user_data)->params;
  const auto* input = static_cast<const T*>(tflm::Data(Input(context, node, 0)));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const int64_t size = static_cast<int64_t>(data.tokens) * data.params.width;
  if (!CheckAliasing(kName, "input", input, size * static_cast<int64_t>(sizeof(T)), output, size,
                     true)) {
    return kTfLiteError;
  }
  LayerNorm(data.params, data.tokens, input,
            static_cast<const int16_t*>(tflm::Data(Input(context, node, 1))),
            static_cast<const int32_t*>(tflm::Data(Input(context, node, 2))), output);
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Input(context, node, 0)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                       : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_LAYER_NORM() {
  return MakeRegistration(kName, InitNode<LayerNormData>, Prepare, Eval);
}

}  // namespace mcuformer
