#include "kernels/patch_embed.h"

#include "tflm/input_source.h"
#include "tflm/node.h"
#include "tflm/register.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerPatchEmbed";
constexpr int kMaxPatchValues = 1 << 16;

// Inputs by position; positions and class token may be absent.
enum { kImage, kWeights, kConstants, kPosition, kClassToken };

struct PatchEmbedData {
  PatchEmbedParams params;
  int scratch;
};
using Data = NodeData<PatchEmbedData>;

int64_t PackedBytes(const PatchEmbedParams& params) {
  int64_t bytes = 0;
  for (int y = 0; y < params.patch_size; y += params.tile) {
    for (int x = 0; x < params.patch_size; x += params.tile) {
      const int height = y + params.tile < params.patch_size ? params.tile : params.patch_size - y;
      const int width = x + params.tile < params.patch_size ? params.tile : params.patch_size - x;
      bytes += PackedWeightBytes(params.embed_dim, height * width * params.channels, 8);
    }
  }
  return bytes;
}

int64_t Patches(const PatchEmbedParams& params) {
  return static_cast<int64_t>(PatchesAlong(params.height, params.patch_size)) *
         PatchesAlong(params.width, params.patch_size);
}

bool CheckImage(const TfLiteEvalTensor* image, const Options& options, PatchEmbedParams* params) {
  int rows = 0, channels = 0;
  int32_t mode = 0;
  if (!CheckMatrix(kName, "image", image, kInt8, &rows, &channels) ||
      !CheckSize(kName, "image", "rank", image->dims->size, 4, 4) ||
      !CheckSize(kName, "image", "batch", image->dims->data[0], 1, 1) ||
      !CheckOption(kName, options, "mode", 0, 2, &mode)) {
    return false;
  }
  params->mode = static_cast<ImageMode>(mode);
  params->width = image->dims->data[2];
  params->channels = channels;
  const bool strips = params->mode == ImageMode::kStrips;
  const int height = image->dims->data[1];
  if (!CheckOption(kName, options, "image_height", strips ? 1 : height,
                   strips ? kMaxPatchValues : height, &params->height) ||
      !CheckOption(kName, options, "patch_size", 1,
                   params->width < params->height ? params->width : params->height,
                   &params->patch_size) ||
      !CheckOption(kName, options, "tile", 1, kMaxPatchValues, &params->tile)) {
    return false;
  }
  if (strips &&
      !CheckSize(kName, "strip", "height", height, params->patch_size, params->patch_size)) {
    return false;
  }
  const int64_t values =
      static_cast<int64_t>(params->patch_size) * params->patch_size * params->channels;
  if (values <= kMaxPatchValues) return true;
  MCUFORMER_LOG("%s: a patch has more than %d values", kName, kMaxPatchValues);
  return false;
}

bool CheckPosition(TfLiteContext* context, TfLiteNode* node, const Options& options,
                   PatchEmbedParams* params) {
  TfLiteEvalTensor* position = Input(context, node, kPosition);
  return position == nullptr || (CheckConstant(kName, "position", position, kTfLiteInt8,
                                               Patches(*params) * params->embed_dim) &&
                                 CheckMultiplier(kName, options, "position_multiplier",
                                                 "position_shift", &params->position));
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  PatchEmbedParams& params = node_data->params.params;
  const Options options(node_data->options, node_data->options_size);
  const TfLiteEvalTensor* output = Output(context, node);
  TfLiteEvalTensor* class_token = Input(context, node, kClassToken);
  int rows = 0;
  if (!CheckImage(Input(context, node, kImage), options, &params) ||
      !CheckMatrix(kName, "output", output, kInt8 | kInt16, &rows, &params.embed_dim) ||
      !CheckSize(kName, "output", "width", params.embed_dim, 1, kMaxLayerWidth)) {
    return kTfLiteError;
  }
  const int64_t tokens = Patches(params) + (class_token != nullptr);
  MCUFORMER_ENSURE(rows == tokens, kName, "output must have a row a patch and class token");
  if (!CheckZeroPoint(kName, options, "input_zero_point", kTfLiteInt8, &params.input_zero_point) ||
      !CheckZeroPoint(kName, options, "output_zero_point", output->type,
                      &params.output_zero_point) ||
      !CheckConstant(kName, "weights", Input(context, node, kWeights), kTfLiteInt8,
                     PackedBytes(params)) ||
      !CheckUnitConstants(kName, "constants", Input(context, node, kConstants), params.embed_dim) ||
      !CheckPosition(context, node, options, &params) ||
      (class_token != nullptr &&
       !CheckConstant(kName, "class token", class_token, output->type, params.embed_dim))) {
    return kTfLiteError;
  }
  const int element_size = output->type == kTfLiteInt16 ? 2 : 1;
  MCUFORMER_ENSURE(params.mode != ImageMode::kInPlace ||
                       PatchEmbedMayOverwrite(params, element_size, class_token != nullptr),
                   kName, "tokens are larger than the pixels they would overwrite; use mode 0");
  return tflm::RequestScratchBuffer(context, PatchEmbedScratchBytes(params, element_size),
                                    &node_data->params.scratch);
}

template <typename T>
TfLiteStatus EvalAs(TfLiteContext* context, TfLiteNode* node) {
  const PatchEmbedData& data = static_cast<Data*>(node->user_data)->params;
  const PatchEmbedParams& params = data.params;
  const bool strips = params.mode == ImageMode::kStrips;
  ImageSource source = {DataAt<int8_t>(context, node, kImage), nullptr, nullptr};
  if (strips) {
    const InputSource* input = GetInputSource(context);
    MCUFORMER_ENSURE(input != nullptr && input->read != nullptr, kName,
                     "the model reads its image in strips, but no input source is set");
    source.read = input->read;
    source.context = input->context;
  }
  const PatchEmbedWeights weights = {{DataAt<int8_t>(context, node, kWeights),
                                      DataAt<UnitConstants>(context, node, kConstants), 8},
                                     DataAt<int8_t>(context, node, kPosition),
                                     DataAt<void>(context, node, kClassToken)};
  auto* output = static_cast<T*>(tflm::Data(Output(context, node)));
  const int64_t image_size = static_cast<int64_t>(strips ? params.patch_size : params.height) *
                             params.width * params.channels;
  const int64_t tokens = Patches(params) + (weights.class_token != nullptr);
  if (!CheckAliasing(kName, "image", source.pixels, image_size, output,
                     tokens * params.embed_dim * sizeof(T), params.mode == ImageMode::kInPlace)) {
    return kTfLiteError;
  }
  auto* scratch = static_cast<int8_t*>(tflm::GetScratchBuffer(context, data.scratch));
  MCUFORMER_ENSURE(PatchEmbed(params, weights, source, scratch, output), kName,
                   "the input source could not deliver a strip");
  return kTfLiteOk;
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  return Output(context, node)->type == kTfLiteInt16 ? EvalAs<int16_t>(context, node)
                                                     : EvalAs<int8_t>(context, node);
}

}  // namespace

TFLMRegistration Register_MCUFORMER_PATCH_EMBED() {
  return MakeRegistration(kName, InitNode<PatchEmbedData>, Prepare, Eval);
}

}  // namespace mcuformer
