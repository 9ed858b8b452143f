#include "kernels/token_pool.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerTokenPool";
// A grid's side, so that no product of sizes leaves 32 bits.
constexpr int kMaxColumns = 1 << 15;

using Data = NodeData<TokenPoolParams>;

// Whether windows tile a grid of so many columns that has so many tokens.
bool CheckGrid(const Options& options, int tokens, TokenPoolParams* params) {
  int32_t columns = 0, size = 0;
  if (!CheckOption(kName, options, "size", 2, kTokenPoolMaxSize, &size) ||
      !CheckOption(kName, options, "columns", 1, kMaxColumns, &columns)) {
    return false;
  }
  if (columns % size != 0 || tokens % (columns * size) != 0) {
    MCUFORMER_LOG("%s: %d tokens in rows of %d are no grid of windows of %d", kName, tokens,
                  static_cast<int>(columns), static_cast<int>(size));
    return false;
  }
  params->size = size;
  params->columns = columns / size;
  params->rows = tokens / (columns * size);
  return true;
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  TokenPoolParams& params = data->params;
  const Options options(data->options, data->options_size);
  const TfLiteEvalTensor* input = Input(context, node, 0);
  int tokens = 0;
  if (!CheckMatrix(kName, "input", input, kInt8 | kInt16, &tokens, &params.width) ||
      !CheckGrid(options, tokens, &params) ||
      !CheckShape(kName, "output", Output(context, node), TypeBit(input->type),
                  params.rows * params.columns, params.width) ||
      !CheckZeroPoint(kName, options, "input_zero_point", input->type, &params.input_zero_point) ||
      !CheckZeroPoint(kName, options, "output_zero_point", input->type,
                      &params.output_zero_point) ||
      !CheckMultiplier(kName, options, "multiplier", "shift", &params.output)) {
    return kTfLiteError;
  }
  return kTfLiteOk;
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  const TokenPoolParams& params = static_cast<Data*>(node->user_data)->params;
  const auto* input = static_cast<const T*>(tflm::Data(Input(context, node, 0)));
  auto* output = static_cast<T*>(tflm::Data(Output(context, node)));
  const int64_t written =
      static_cast<int64_t>(params.rows) * params.columns * params.width * sizeof(T);
  if (!CheckAliasing(kName, "input", input, written * params.size * params.size, output, written,
                     true)) {
    return kTfLiteError;
  }
  TokenPool(params, input, output);
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Input(context, node, 0)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                       : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_TOKEN_POOL() {
  return MakeRegistration(kName, InitNode<TokenPoolParams>, Prepare, Eval);
}

}  // namespace mcuformer
