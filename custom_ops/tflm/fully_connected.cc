#include "kernels/fully_connected.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerFullyConnected";
constexpr int kNoScratch = -1;

struct FullyConnectedData {
  FullyConnectedParams params;
  ResidualScale residual;
  int scratch;
};
using Data = NodeData<FullyConnectedData>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  FullyConnectedParams& params = data->params.params;
  const TfLiteEvalTensor* input = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  const TfLiteEvalTensor* residual = Input(context, node, 5);
  int rows = 0, width = 0;
  MCUFORMER_ENSURE(MatrixShape(input, &params.tokens, &params.width) && input->type == kTfLiteInt8,
                   kName, "bad input");
  MCUFORMER_ENSURE(MatrixShape(output, &rows, &params.units) && rows == params.tokens, kName,
                   "bad output");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 1), kTfLiteInt8,
                              static_cast<int64_t>(params.units) * params.width),
                   kName, "bad weights");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 2), kTfLiteInt32, params.units), kName,
                   "bad bias");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 3), kTfLiteInt32, params.units), kName,
                   "bad multiplier");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 4), kTfLiteInt8, params.units) &&
                       AreShiftsValid(Input(context, node, 4), params.units),
                   kName, "bad shift");
  const Options options(data->options, data->options_size);
  int32_t in_place = 0;
  MCUFORMER_ENSURE(options.Get("in_place", &in_place), kName, "bad options");
  data->params.scratch = kNoScratch;
  if (residual == nullptr) {
    MCUFORMER_ENSURE(output->type == kTfLiteInt8 &&
                         GetZeroPoint(options, "output_zero_point", &params.output_zero_point),
                     kName, "bad options");
  } else {
    MCUFORMER_ENSURE(MatrixShape(residual, &rows, &width) && rows == params.tokens &&
                         width == params.units && residual->type == output->type &&
                         (output->type == kTfLiteInt8 || output->type == kTfLiteInt16) &&
                         in_place == 0,
                     kName, "bad residual");
    ResidualScale& scale = data->params.residual;
    MCUFORMER_ENSURE(
        options.Get("output_zero_point", &params.output_zero_point) &&
            options.Get("residual_zero_point", &scale.zero_point) &&
            scale.zero_point >= INT16_MIN && scale.zero_point <= INT16_MAX &&
            GetMultiplier(options, "residual_multiplier", "residual_shift", &scale.rescale),
        kName, "bad options");
  }
  if (in_place == 0) return kTfLiteOk;
  return tflm::RequestScratchBuffer(context, FullyConnectedInPlaceScratchBytes(params.width),
                                    &data->params.scratch);
}

TfLiteStatus EvalResidual(const FullyConnectedData& data, const FullyConnectedWeights& weights,
                          const int8_t* input, TfLiteEvalTensor* residual,
                          TfLiteEvalTensor* output) {
  const void* source = tflm::Data(residual);
  void* target = tflm::Data(output);
  const int64_t size = static_cast<int64_t>(data.params.tokens) * data.params.units *
                       (output->type == kTfLiteInt16 ? 2 : 1);
  const int64_t input_size = static_cast<int64_t>(data.params.tokens) * data.params.width;
  MCUFORMER_ENSURE(!Overlap(input, input_size, target, size), kName,
                   "the plan lays the output over the input");
  MCUFORMER_ENSURE(source == target || !Overlap(source, size, target, size), kName,
                   "the plan shifts the output over the residual");
  if (output->type == kTfLiteInt16) {
    FullyConnectedResidual(data.params, weights, data.residual, input,
                           static_cast<const int16_t*>(source), static_cast<int16_t*>(target));
  } else {
    FullyConnectedResidual(data.params, weights, data.residual, input,
                           static_cast<const int8_t*>(source), static_cast<int8_t*>(target));
  }
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const FullyConnectedData& data = static_cast<Data*>(node->user_data)->params;
  const FullyConnectedWeights weights = {
      static_cast<const int8_t*>(tflm::Data(Input(context, node, 1))),
      static_cast<const int32_t*>(tflm::Data(Input(context, node, 2))),
      static_cast<const int32_t*>(tflm::Data(Input(context, node, 3))),
      static_cast<const int8_t*>(tflm::Data(Input(context, node, 4)))};
  const auto* input = static_cast<const int8_t*>(tflm::Data(Input(context, node, 0)));
  TfLiteEvalTensor* output_tensor = Output(context, node);
  TfLiteEvalTensor* residual = Input(context, node, 5);
  if (residual != nullptr) return EvalResidual(data, weights, input, residual, output_tensor);
  auto* output = static_cast<int8_t*>(tflm::Data(output_tensor));
  const int64_t tokens = data.params.tokens;
  if (input == output) {
    MCUFORMER_ENSURE(data.scratch != kNoScratch, kName,
                     "the plan lays the output over the input of an operator not in place");
    FullyConnectedInPlace(data.params, weights,
                          static_cast<int8_t*>(tflm::GetScratchBuffer(context, data.scratch)),
                          output);
    return kTfLiteOk;
  }
  MCUFORMER_ENSURE(!Overlap(input, tokens * data.params.width, output, tokens * data.params.units),
                   kName, "the plan shifts the output over the input");
  FullyConnected(data.params, weights, input, output);
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_FULLY_CONNECTED() {
  return MakeRegistration(kName, InitNode<FullyConnectedData>, Prepare, Eval);
}

}  // namespace mcuformer
