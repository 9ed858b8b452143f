#include "kernels/attention.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerAttention";
constexpr int kMaxHeadDim = 512;
constexpr int kMaxHeads = 512;

// Inputs by position; all but the first two may be absent.
enum { kInput, kExpTable, kGamma, kBeta, kLayer, kPositionBias = kLayer + 2, kLowRank };

struct AttentionData {
  AttentionParams params;
  int8_t weight_bits;
  int16_t scratch;
};
using Data = NodeData<AttentionData>;

bool CheckExpTable(TfLiteEvalTensor* table) {
  if (!CheckConstant(kName, "exp table", table, kTfLiteInt16, kExpTableSize)) return false;
  const auto* values = static_cast<const int16_t*>(tflm::Data(table));
  bool valid = values[0] > 0;  // of each row's greatest logit: no sum is zero
  for (int i = 0; i < kExpTableSize; ++i) valid = valid && values[i] >= 0;
  if (!valid) MCUFORMER_LOG("%s: exp table must start above 0 and have nothing below", kName);
  return valid;
}

bool CheckPositionBias(TfLiteContext* context, TfLiteNode* node, const Options& options,
                       AttentionParams* params) {
  params->grid_rows = params->grid_columns = 0;
  TfLiteEvalTensor* bias = Input(context, node, kPositionBias);
  if (bias == nullptr) return true;
  if (!CheckOption(kName, options, "grid", 1, kAttentionMaxTokens, &params->grid_rows)) {
    return false;
  }
  params->grid_columns = params->grid_rows;
  int32_t columns = 0;
  if (options.Get("grid_columns", &columns) &&
      !CheckOption(kName, options, "grid_columns", 1, kAttentionMaxTokens, &params->grid_columns)) {
    return false;
  }
  const int patches = params->grid_rows * params->grid_columns;
  return CheckSize(kName, "input", "rows", params->tokens, patches, patches + 1) &&
         CheckConstant(kName, "position bias", bias, kTfLiteInt16,
                       params->num_heads * PositionBiases(*params));
}

// Of a low-rank pair the layers for each part of each head take what U, a layer for all, gives.
bool CheckLowRank(TfLiteContext* context, TfLiteNode* node, const Options& options,
                  AttentionData* data) {
  AttentionParams& params = data->params;
  const int rank = UnitsOf(context, node, kLowRank), width = params.width;
  params.width = rank;
  return CheckLayer(kName, "low rank", context, node, kLowRank, rank, width, data->weight_bits) &&
         CheckZeroPoint(kName, options, "rank_zero_point", kTfLiteInt8, &params.rank_zero_point);
}

// Queries, keys and values come from the tokens, through a layer for each part of each head.
bool CheckProjection(TfLiteContext* context, TfLiteNode* node, const Options& options,
                     AttentionData* data) {
  AttentionParams& params = data->params;
  const int parts = 3 * params.num_heads;
  const bool normalises = Input(context, node, kGamma) != nullptr;
  const bool low_rank = Input(context, node, kLowRank) != nullptr;
  if (low_rank && !normalises) {
    MCUFORMER_LOG("%s: a low-rank pair takes tokens to normalise; gamma is missing", kName);
    return false;
  }
  return CheckWeightBits(kName, options, &data->weight_bits) &&
         CheckSize(kName, "input", "width", params.width, 1, kMaxLayerWidth) &&
         (!normalises ||
          CheckNorm(kName, context, node, kGamma, options, params.width, &params.norm)) &&
         (!low_rank || CheckLowRank(context, node, options, data)) &&
         CheckConstant(kName, "weights", Input(context, node, kLayer), kTfLiteInt8,
                       parts * static_cast<int64_t>(PackedWeightBytes(params.head_dim, params.width,
                                                                      data->weight_bits))) &&
         CheckUnitConstants(kName, "constants", Input(context, node, kLayer + 1),
                            parts * params.head_dim);
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  AttentionData& data = node_data->params;
  AttentionParams& params = data.params;
  const Options options(node_data->options, node_data->options_size);
  const bool projects = Input(context, node, kLayer) != nullptr;
  const bool normalises = projects && Input(context, node, kGamma) != nullptr;
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, kInput),
                   normalises ? kInt8 | kInt16 : kInt8, &params.tokens, &params.width) ||
      !CheckSize(kName, "input", "rows", params.tokens, 1, kAttentionMaxTokens) ||
      !CheckOption(kName, options, "num_heads", 1, kMaxHeads, &params.num_heads) ||
      !CheckOption(kName, options, "head_dim", 1, kMaxHeadDim, &params.head_dim) ||
      !CheckMatrix(kName, "output", Output(context, node), kInt8, &rows, &width) ||
      !CheckSize(kName, "output", "rows", rows, params.tokens, params.tokens) ||
      !CheckSize(kName, "output", "width", width, params.num_heads * params.head_dim,
                 params.num_heads * params.head_dim) ||
      !CheckExpTable(Input(context, node, kExpTable)) ||
      !CheckZeroPoint(kName, options, "output_zero_point", kTfLiteInt8,
                      &params.output_zero_point) ||
      !CheckMultiplier(kName, options, "score_multiplier", "score_shift", &params.score) ||
      !CheckMultiplier(kName, options, "context_multiplier", "context_shift", &params.context) ||
      !CheckBlockTokens(kName, options, &params.block_tokens) ||
      !CheckPositionBias(context, node, options, &params)) {
    return kTfLiteError;
  }
  if (projects ? !CheckProjection(context, node, options, &data)
               : !CheckSize(kName, "input", "width", params.width, 3 * width, 3 * width)) {
    return kTfLiteError;
  }
  const bool low_rank = projects && Input(context, node, kLowRank) != nullptr;
  return RequestScratch(kName, context, AttentionScratchBytes(params, projects, low_rank),
                        &data.scratch);
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  const AttentionData& data = static_cast<Data*>(node->user_data)->params;
  const AttentionParams& params = data.params;
  const auto* input = DataAt<T>(context, node, kInput);
  auto* output = static_cast<int8_t*>(tflm::Data(Output(context, node)));
  const int64_t tokens = params.tokens;
  const bool projects = Input(context, node, kLayer) != nullptr;
  const PackedLayer low_rank =
      projects ? LayerAt(context, node, kLowRank, data.weight_bits) : PackedLayer{};
  const int width = low_rank.weights == nullptr ? params.width : params.norm.width;
  if (!CheckAliasing(kName, "input", input, tokens * width * sizeof(T), output,
                     tokens * params.num_heads * params.head_dim, false)) {
    return kTfLiteError;
  }
  const AttentionWeights weights = {LayerAt(context, node, kLayer, data.weight_bits),
                                    DataAt<int16_t>(context, node, kGamma),
                                    DataAt<int32_t>(context, node, kBeta),
                                    DataAt<int16_t>(context, node, kExpTable),
                                    DataAt<int16_t>(context, node, kPositionBias),
                                    low_rank};
  auto* scratch = static_cast<int8_t*>(tflm::GetScratchBuffer(context, data.scratch));
  Attention(params, weights, input, scratch, output);
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Input(context, node, kInput)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                            : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_ATTENTION() {
  return MakeRegistration(kName, InitNode<AttentionData>, Prepare, Eval);
}

}  // namespace mcuformer
