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

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  LayerNormData& data = node_data->params;
  const Options options(node_data->options, node_data->options_size);
  int rows = 0, width = 0, output_width = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, 0), kInt8 | kInt16, &rows, &width) ||
      !CheckNorm(kName, context, node, 1, options, width, &data.params) ||
      !CheckMatrix(kName, "output", Output(context, node), kInt8, &data.tokens, &output_width) ||
      !CheckSize(kName, "output", "rows", data.tokens, 1, rows) ||
      !CheckSize(kName, "output", "width", output_width, width, width)) {
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
