#include "kernels/mean_pool.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerMeanPool";

using Data = NodeData<MeanPoolParams>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  MeanPoolParams& params = data->params;
  const Options options(data->options, data->options_size);
  if (!CheckMatrix(kName, "input", Input(context, node, 0), kInt8, &params.tokens, &params.width) ||
      !CheckSize(kName, "input", "rows", params.tokens, 1, kMeanPoolMaxTokens) ||
      !CheckShape(kName, "output", Output(context, node), kInt8, 1, params.width) ||
      !CheckZeroPoint(kName, options, "input_zero_point", kTfLiteInt8, &params.input_zero_point) ||
      !CheckZeroPoint(kName, options, "output_zero_point", kTfLiteInt8,
                      &params.output_zero_point) ||
      !CheckMultiplier(kName, options, "multiplier", "shift", &params.output)) {
    return kTfLiteError;
  }
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const MeanPoolParams& params = static_cast<Data*>(node->user_data)->params;
  const auto* input = static_cast<const int8_t*>(tflm::Data(Input(context, node, 0)));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  if (!CheckAliasing(kName, "input", input, static_cast<int64_t>(params.tokens) * params.width,
                     output, params.width, true)) {
    return kTfLiteError;
  }
  MeanPool(params, input, output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_MEAN_POOL() {
  return MakeRegistration(kName, InitNode<MeanPoolParams>, Prepare, Eval);
}

}  // namespace mcuformer
