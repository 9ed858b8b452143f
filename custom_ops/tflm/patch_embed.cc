#include "kernels/patch_embed.h"

#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerPatchEmbed";

struct PatchEmbedData {
  PatchEmbedParams params;
  int scratch;
};
using Data = NodeData<PatchEmbedData>;

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(data != nullptr, kName, "no memory");
  PatchEmbedParams& params = data->params.params;
  const TfLiteEvalTensor* image = Input(context, node, 0);
  const TfLiteEvalTensor* output = Output(context, node);
  int rows = 0, width = 0;
  MCUFORMER_ENSURE(MatrixShape(image, &rows, &width) && image->type == kTfLiteInt8 &&
                       image->dims->size == 4 && image->dims->data[0] == 1,
                   kName, "bad image");
  params.height = image->dims->data[1];
  params.width = image->dims->data[2];
  params.channels = image->dims->data[3];
  const Options options(data->options, data->options_size);
  MCUFORMER_ENSURE(options.Get("patch_size", &params.patch_size) && params.patch_size > 0 &&
                       params.patch_size <= params.height && params.patch_size <= params.width &&
                       options.Get("tile", &params.tile) && params.tile > 0 &&
                       params.tile <= (1 << 20) &&
                       GetZeroPoint(options, "input_zero_point", &params.input_zero_point) &&
                       options.Get("output_zero_point", &params.output_zero_point),
                   kName, "bad options");
  const int64_t tokens = static_cast<int64_t>(PatchesAlong(params.height, params.patch_size)) *
                         PatchesAlong(params.width, params.patch_size);
  MCUFORMER_ENSURE(MatrixShape(output, &rows, &params.embed_dim) && rows == tokens &&
                       (output->type == kTfLiteInt8 || output->type == kTfLiteInt16),
                   kName, "bad output");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 1), kTfLiteInt8,
                              static_cast<int64_t>(params.embed_dim) * params.patch_size *
                                  params.patch_size * params.channels),
                   kName, "bad weights");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 2), kTfLiteInt32, params.embed_dim), kName,
                   "bad bias");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 3), kTfLiteInt32, params.embed_dim), kName,
                   "bad multiplier");
  MCUFORMER_ENSURE(IsConstant(Input(context, node, 4), kTfLiteInt8, params.embed_dim) &&
                       AreShiftsValid(Input(context, node, 4), params.embed_dim),
                   kName, "bad shift");
  TfLiteEvalTensor* position = Input(context, node, 5);
  if (position != nullptr) {
    MCUFORMER_ENSURE(
        IsConstant(position, kTfLiteInt8, tokens * params.embed_dim) &&
            GetMultiplier(options, "residual_multiplier", "residual_shift", &params.position),
        kName, "bad position");
  }
  return tflm::RequestScratchBuffer(context, PatchEmbedScratchBytes(params.embed_dim),
                                    &data->params.scratch);
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const PatchEmbedData& data = static_cast<Data*>(node->user_data)->params;
  const PatchEmbedParams& params = data.params;
  TfLiteEvalTensor* position = Input(context, node, 5);
  const PatchEmbedWeights weights = {
      static_cast<const int8_t*>(tflm::Data(Input(context, node, 1))),
      static_cast<const int32_t*>(tflm::Data(Input(context, node, 2))),
      static_cast<const int32_t*>(tflm::Data(Input(context, node, 3))),
      static_cast<const int8_t*>(tflm::Data(Input(context, node, 4))),
      position == nullptr ? nullptr : static_cast<const int8_t*>(tflm::Data(position))};
  const auto* image = static_cast<const int8_t*>(tflm::Data(Input(context, node, 0)));
  TfLiteEvalTensor* output = Output(context, node);
  void* target = tflm::Data(output);
  const bool wide = output->type == kTfLiteInt16;
  const int64_t tokens = static_cast<int64_t>(PatchesAlong(params.height, params.patch_size)) *
                         PatchesAlong(params.width, params.patch_size);
  MCUFORMER_ENSURE(
      !Overlap(image, static_cast<int64_t>(params.height) * params.width * params.channels, target,
               tokens * params.embed_dim * (wide ? 2 : 1)),
      kName, "the plan lays the output over the image");
  auto* scratch = static_cast<int32_t*>(tflm::GetScratchBuffer(context, data.scratch));
  if (wide) {
    PatchEmbed(params, weights, image, scratch, static_cast<int16_t*>(target));
  } else {
    PatchEmbed(params, weights, image, scratch, static_cast<int8_t*>(target));
  }
  return kTfLiteOk;
}

}  // namespace

TFLMRegistration Register_MCUFORMER_PATCH_EMBED() {
  return MakeRegistration(kName, InitNode<PatchEmbedData>, Prepare, Eval);
}

}  // namespace mcuformer
