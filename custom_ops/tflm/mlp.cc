#include "kernels/mlp.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerMlp";

// Inputs by position: of a low-rank MLP four layers, otherwise two.
enum { kInput, kGamma, kBeta, kGeluTable, kFirstLayer };
constexpr int kInputsOfLayer = 2;
constexpr int kInputsWithRank = kFirstLayer + 4 * kInputsOfLayer;
constexpr int kInputsWithoutRank = kFirstLayer + 2 * kInputsOfLayer;

struct MlpData {
  MlpParams params;
  int8_t weight_bits;
  int16_t scratch;
};
using Data = NodeData<MlpData>;

// Where the layers lie among the inputs.
struct Positions {
  explicit Positions(bool low_rank)
      : fc1_u(kFirstLayer),
        fc1_v(low_rank ? kFirstLayer + kInputsOfLayer : kFirstLayer),
        fc2_u(fc1_v + kInputsOfLayer),
        fc2_v(low_rank ? fc2_u + kInputsOfLayer : fc2_u) {}
  int fc1_u, fc1_v, fc2_u, fc2_v;
};

bool CheckLayers(TfLiteContext* context, TfLiteNode* node, const Options& options, MlpData* data) {
  MlpParams& params = data->params;
  const bool low_rank = NumInputs(node) == kInputsWithRank;
  const Positions at(low_rank);
  const int bits = data->weight_bits, width = params.width;
  const int hidden = UnitsOf(context, node, at.fc1_v);
  const int rank = low_rank ? UnitsOf(context, node, at.fc1_u) : 0;
  params.hidden = hidden;
  params.rank = rank;
  if (low_rank && !(CheckLayer(kName, "fc1_u", context, node, at.fc1_u, rank, width, bits) &&
                    CheckLayer(kName, "fc2_u", context, node, at.fc2_u, rank, hidden, bits) &&
                    CheckZeroPoint(kName, options, "fc1_rank_zero_point", kTfLiteInt8,
                                   &params.fc1_rank_zero_point) &&
                    CheckZeroPoint(kName, options, "fc2_rank_zero_point", kTfLiteInt8,
                                   &params.fc2_rank_zero_point))) {
    return false;
  }
  return CheckLayer(kName, "fc1_v", context, node, at.fc1_v, hidden, low_rank ? rank : width,
                    bits) &&
         CheckLayer(kName, "fc2_v", context, node, at.fc2_v, width, low_rank ? rank : hidden, bits);
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  MCUFORMER_ENSURE(
      NumInputs(node) == kInputsWithRank || NumInputs(node) == kInputsWithoutRank, kName,
      "inputs must be tokens, gamma, beta, gelu table and two layers, or four with low rank");
  MlpData& data = node_data->params;
  MlpParams& params = data.params;
  const Options options(node_data->options, node_data->options_size);
  const TfLiteEvalTensor* input = Input(context, node, kInput);
  int rows = 0, width = 0;
  if (!CheckMatrix(kName, "input", input, kInt8 | kInt16, &params.tokens, &params.width) ||
      !CheckMatrix(kName, "output", Output(context, node), TypeBit(input->type), &rows, &width) ||
      !CheckSize(kName, "output", "rows", rows, params.tokens, params.tokens) ||
      !CheckSize(kName, "output", "width", width, params.width, params.width) ||
      !CheckNorm(kName, context, node, kGamma, options, width, &params.norm) ||
      !CheckConstant(kName, "gelu table", Input(context, node, kGeluTable), kTfLiteInt8, 256) ||
      !CheckWeightBits(kName, options, &data.weight_bits) ||
      !CheckBlockTokens(kName, options, &params.block_tokens) ||
      !CheckZeroPoint(kName, options, "hidden_zero_point", kTfLiteInt8,
                      &params.hidden_zero_point) ||
      !CheckZeroPoint(kName, options, "output_zero_point", input->type,
                      &params.output_zero_point) ||
      !CheckResidualScale(kName, options, input->type, &params.residual) ||
      !CheckLayers(context, node, options, &data)) {
    return kTfLiteError;
  }
  return RequestScratch(kName, context, MlpScratchBytes(params), &data.scratch);
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  const MlpData& data = static_cast<Data*>(node->user_data)->params;
  const MlpParams& params = data.params;
  const auto* input = DataAt<T>(context, node, kInput);
  auto* output = static_cast<T*>(tflm::Data(Output(context, node)));
  const int64_t size = static_cast<int64_t>(params.tokens) * params.width * sizeof(T);
  if (!CheckAliasing(kName, "input", input, size, output, size, true)) return kTfLiteError;
  const Positions at(params.rank > 0);
  const MlpWeights weights = {DataAt<int16_t>(context, node, kGamma),
                              DataAt<int32_t>(context, node, kBeta),
                              DataAt<int8_t>(context, node, kGeluTable),
                              LayerAt(context, node, at.fc1_u, data.weight_bits),
                              LayerAt(context, node, at.fc1_v, data.weight_bits),
                              LayerAt(context, node, at.fc2_u, data.weight_bits),
                              LayerAt(context, node, at.fc2_v, data.weight_bits)};
  auto* scratch = static_cast<int8_t*>(tflm::GetScratchBuffer(context, data.scratch));
  Mlp(params, weights, input, scratch, output);
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Input(context, node, kInput)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                            : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_MLP() {
  return MakeRegistration(kName, InitNode<MlpData>, Prepare, Eval);
}

}  // namespace mcuformer
