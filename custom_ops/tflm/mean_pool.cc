#include "kernels/mean_pool.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerMeanPool";
// A column's sum of int8 differences must fit 32 bits.
constexpr int kMaxTokens = 1 << 20;

struct PoolData {
  MeanPoolParams params;
  int scratch;
};
using Data = NodeData<PoolData>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  MeanPoolParams& params = data->params.params;
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0, width = 0;
  MCUFORMER_ENSURE(MatrixShape(input, &params.tokens, &params.width) &&
                       input->type == kTfLiteInt8 && params.tokens <= kMaxTokens,
                   kName, "bad input");
  MCUFORMER_ENSURE(MatrixShape(output, &rows, &width) && output->type == kTfLiteInt8 && rows == 1 &&
                       width == params.width,
                   kName, "bad output");
  const Options options(data->options, data->options_size);
  MCUFORMER_ENSURE(GetMultiplier(options, "multiplier", "shift", &params.output) &&
                       GetZeroPoint(options, "input_zero_point", &params.input_zero_point) &&
                       GetZeroPoint(options, "output_zero_point", &params.output_zero_point),
                   kName, "bad options");
  return tflm::RequestScratchBuffer(context, MeanPoolScratchBytes(params.width),
                                    &data->params.scratch);
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const PoolData& data = static_cast<Data*>(node->user_data)->params;
  const auto* input = static_cast<const int8_t*>(tflm::Data(Input(context, node, 0)));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  MeanPool(data.params, input, static_cast<int32_t*>(tflm::GetScratchBuffer(context, data.scratch)),
           output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_MEAN_POOL() {
  return MakeRegistration(kName, InitNode<PoolData>, Prepare, Eval);
}

}  // namespace mcuformer
