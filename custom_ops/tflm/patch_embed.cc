#include "kernels/patch_embed.h"

#include "tflm/register.h"
#include "tflm/stem.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerPatchEmbed";
constexpr int kMaxPatchValues = 1 << 16;

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

bool CheckImage(TfLiteContext* context, const TfLiteNode* node, const Options& options,
                PatchEmbedParams* params) {
  StemImage image;
  if (!CheckStemImage(kName, context, node, options, &image)) return false;
  params->height = image.height;
  params->width = image.width;
  params->channels = image.channels;
  params->mode = image.mode;
  if (!CheckOption(kName, options, "patch_size", 1,
                   image.width < image.height ? image.width : image.height, &params->patch_size) ||
      !CheckOption(kName, options, "tile", 1, kMaxPatchValues, &params->tile) ||
      !CheckStrip(kName, image, params->patch_size)) {
    return false;
  }
  const int64_t values =
      static_cast<int64_t>(params->patch_size) * params->patch_size * params->channels;
  if (values <= kMaxPatchValues) return true;
  MCUFORMER_LOG("%s: a patch has more than %d values", kName, kMaxPatchValues);
  return false;
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  PatchEmbedParams& params = node_data->params.params;
  const Options options(node_data->options, node_data->options_size);
  StemOutput output = {};
  if (!CheckImage(context, node, options, &params) ||
      !CheckStemOutput(kName, context, node, options, Patches(params), &output)) {
    return kTfLiteError;
  }
  params.embed_dim = output.embed_dim;
  params.input_zero_point = output.input_zero_point;
  params.output_zero_point = output.output_zero_point;
  params.position = output.position;
  if (!CheckStemWeights(kName, context, node, PackedBytes(params), params.embed_dim)) {
    return kTfLiteError;
  }
  const int element_size = StemElementSize(context, node);
  const bool class_token = Input(context, node, kClassToken) != nullptr;
  return PrepareStemMemory(
      kName, context, params.mode, PatchEmbedMayOverwrite(params, element_size, class_token),
      PatchEmbedScratchBytes(params, element_size), &node_data->params.scratch);
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const PatchEmbedData& data = static_cast<Data*>(node->user_data)->params;
  return EvalStem(kName, context, node, data.params.mode, data.scratch,
                  [&data](const StemBuffers& buffers, auto* output) {
                    return PatchEmbed(data.params, buffers.weights, buffers.source, buffers.scratch,
                                      output);
                  });
}

}  // namespace

TFLMRegistration Register_MCUFORMER_PATCH_EMBED() {
  return MakeRegistration(kName, InitNode<PatchEmbedData>, Prepare, Eval);
}

}  // namespace mcuformer
