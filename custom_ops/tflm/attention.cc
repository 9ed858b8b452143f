#include "kernels/attention.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerAttention";

struct AttentionData {
  AttentionParams params;
  int scratch;
};
using Data = NodeData<AttentionData>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  AttentionParams& params = data->params.params;
  TfLiteEvalTensor* table = Input(context, node, 1);
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0, width = 0, output_width = 0;
  MCUFORMER_ENSURE(MatrixShape(input, &params.tokens, &width) && input->type == kTfLiteInt8 &&
                       params.tokens <= kAttentionMaxTokens,
                   kName, "bad input");
  MCUFORMER_ENSURE(MatrixShape(output, &rows, &output_width) && output->type == kTfLiteInt8 &&
                       rows == params.tokens && width % 3 == 0 && output_width == width / 3,
                   kName, "bad output");
  // Its first entry keeps the sum of a row, which divides, from being zero.
  MCUFORMER_ENSURE(IsConstant(table, kTfLiteUInt16, kExpTableSize) &&
                       static_cast<const uint16_t*>(tflm::Data(table))[0] != 0,
                   kName, "bad table");
  const Options options(data->options, data->options_size);
  MCUFORMER_ENSURE(
      options.Get("num_heads", &params.num_heads) && options.Get("head_dim", &params.head_dim) &&
          params.num_heads > 0 && params.head_dim > 0 &&
          static_cast<int64_t>(params.num_heads) * params.head_dim == output_width &&
          GetZeroPoint(options, "q_zero_point", &params.q_zero_point) &&
          GetZeroPoint(options, "k_zero_point", &params.k_zero_point) &&
          GetZeroPoint(options, "v_zero_point", &params.v_zero_point) &&
          GetZeroPoint(options, "output_zero_point", &params.output_zero_point) &&
          GetMultiplier(options, "score_multiplier", "score_shift", &params.score) &&
          GetMultiplier(options, "context_multiplier", "context_shift", &params.context),
      kName, "bad options");
  return tflm::RequestScratchBuffer(context, AttentionScratchBytes(params.tokens),
                                    &data->params.scratch);
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const AttentionData& data = static_cast<Data*>(node->user_data)->params;
  const auto* qkv = static_cast<const int8_t*>(tflm::Data(Input(context, node, 0)));
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const int64_t size =
      static_cast<int64_t>(data.params.tokens) * data.params.num_heads * data.params.head_dim;
  MCUFORMER_ENSURE(!Overlap(qkv, 3 * size, output, size), kName,
                   "the plan lays the output over the input");
  Attention(data.params, qkv, static_cast<const uint16_t*>(tflm::Data(Input(context, node, 1))),
            static_cast<int32_t*>(tflm::GetScratchBuffer(context, data.scratch)), output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_ATTENTION() {
  return MakeRegistration(kName, InitNode<AttentionData>, Prepare, Eval);
}

}  // namespace mcuformer
