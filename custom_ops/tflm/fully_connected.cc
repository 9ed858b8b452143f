#include "kernels/fully_connected.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerFullyConnected";

// Inputs by position; residual, GELU table and the second layer may be absent.
enum { kInput, kResidual, kGeluTable, kLayer, kSecond = kLayer + 2 };

struct FullyConnectedData {
  FullyConnectedParams params;
  ResidualScale residual;
  int8_t weight_bits;
  bool in_place;
  int scratch;
};
using Data = NodeData<FullyConnectedData>;

// What an output without residual may have: a GELU table and the input's place.
bool CheckPlain(TfLiteContext* context, TfLiteNode* node) {
  int rows = 0, width = 0;
  TfLiteEvalTensor* table = Input(context, node, kGeluTable);
  return CheckMatrix(kName, "output", Output(context, node), kInt8, &rows, &width) &&
         (table == nullptr || CheckConstant(kName, "gelu table", table, kTfLiteInt8, 256));
}

bool CheckResidual(TfLiteContext* context, TfLiteNode* node, const Options& options,
                   FullyConnectedData* data) {
  const FullyConnectedParams& params = data->params;
  const TfLiteType type = Output(context, node)->type;
  int rows = 0, width = 0;
  if (data->in_place || Input(context, node, kGeluTable) != nullptr) {
    MCUFORMER_LOG("%s: a residual excludes in_place and a gelu table", kName);
    return false;
  }
  return CheckMatrix(kName, "residual", Input(context, node, kResidual), TypeBit(type), &rows,
                     &width) &&
         CheckSize(kName, "residual", "rows", rows, params.tokens, params.tokens) &&
         CheckSize(kName, "residual", "width", width, params.units, params.units) &&
         CheckResidualScale(kName, options, type, &data->residual);
}

bool CheckLayers(TfLiteContext* context, TfLiteNode* node, const Options& options,
                 FullyConnectedData* data) {
  FullyConnectedParams& params = data->params;
  const int bits = data->weight_bits;
  params.rank = 0;
  if (Input(context, node, kSecond) == nullptr) {
    return CheckLayer(kName, "layer", context, node, kLayer, params.units, params.width, bits);
  }
  params.rank = UnitsOf(context, node, kLayer);
  return CheckLayer(kName, "first layer", context, node, kLayer, params.rank, params.width, bits) &&
         CheckLayer(kName, "second layer", context, node, kSecond, params.units, params.rank,
                    bits) &&
         CheckZeroPoint(kName, options, "rank_zero_point", kTfLiteInt8, &params.rank_zero_point);
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  FullyConnectedData& data = node_data->params;
  FullyConnectedParams& params = data.params;
  const Options options(node_data->options, node_data->options_size);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0;
  int32_t in_place = 0;
  if (!CheckMatrix(kName, "input", Input(context, node, kInput), kInt8, &params.tokens,
                   &params.width) ||
      !CheckMatrix(kName, "output", output, kInt8 | kInt16, &rows, &params.units) ||
      !CheckSize(kName, "output", "rows", rows, params.tokens, params.tokens) ||
      !CheckWeightBits(kName, options, &data.weight_bits) ||
      !CheckBlockTokens(kName, options, &params.block_tokens) ||
      !CheckOption(kName, options, "in_place", 0, 1, &in_place) ||
      !CheckZeroPoint(kName, options, "output_zero_point", output->type,
                      &params.output_zero_point) ||
      !CheckLayers(context, node, options, &data)) {
    return kTfLiteError;
  }
  data.in_place = in_place != 0;
  const bool residual = Input(context, node, kResidual) != nullptr;
  if (residual ? !CheckResidual(context, node, options, &data) : !CheckPlain(context, node)) {
    return kTfLiteError;
  }
  return tflm::RequestScratchBuffer(context, FullyConnectedScratchBytes(params), &data.scratch);
}

template <typename T>
TfLiteStatus EvalResidual(const FullyConnectedData& data, const FullyConnectedWeights& weights,
                          const int8_t* input, const void* residual, int8_t* scratch,
                          void* output) {
  const FullyConnectedParams& params = data.params;
  const int64_t size = static_cast<int64_t>(params.tokens) * params.units * sizeof(T);
  if (!CheckAliasing(kName, "input", input, static_cast<int64_t>(params.tokens) * params.width,
                     output, size, false) ||
      !CheckAliasing(kName, "residual", residual, size, output, size, true)) {
    return kTfLiteError;
  }
  FullyConnectedResidual(params, weights, data.residual, input, static_cast<const T*>(residual),
                         scratch, static_cast<T*>(output));
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const FullyConnectedData& data = static_cast<Data*>(node->user_data)->params;
  const FullyConnectedParams& params = data.params;
  const FullyConnectedWeights weights = {LayerAt(context, node, kLayer, data.weight_bits),
                                         LayerAt(context, node, kSecond, data.weight_bits),
                                         DataAt<int8_t>(context, node, kGeluTable)};
  const auto* input = DataAt<int8_t>(context, node, kInput);
  auto* scratch = static_cast<int8_t*>(tflm::GetScratchBuffer(context, data.scratch));
  TfLiteEvalTensor* output_tensor = Output(context, node);
  void* output = tflm::Data(output_tensor);
  if (const void* residual = DataAt<void>(context, node, kResidual)) {
    return output_tensor->type == kTfLiteInt16
               ? EvalResidual<int16_t>(data, weights, input, residual, scratch, output)
               : EvalResidual<int8_t>(data, weights, input, residual, scratch, output);
  }
  const int64_t tokens = params.tokens;
  if (!CheckAliasing(kName, "input", input, tokens * params.width, output, tokens * params.units,
                     data.in_place)) {
    return kTfLiteError;
  }
  FullyConnected(params, weights, input, scratch, static_cast<int8_t*>(output));
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_FULLY_CONNECTED() {
  return MakeRegistration(kName, InitNode<FullyConnectedData>, Prepare, Eval);
}

}  // namespace mcuformer
