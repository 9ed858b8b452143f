#include "kernels/conv_stem.h"

#include "tflm/register.h"
#include "tflm/stem.h"

namespace mcuformer {
namespace {

constexpr char kName[] = "McuformerConvStem";
// Up to here no sum of a convolution leaves 32 bits, and no row of a stage as much as half of it.
constexpr int kMaxChannels = kMaxLayerWidth / (kConvStemKernel * kConvStemKernel);
constexpr int64_t kMaxRowValues = 1 << 24;

struct ConvStemData {
  ConvStemParams params;
  int scratch;
};
using Data = NodeData<ConvStemData>;

int64_t Patches(const ConvStemParams& params) {
  return static_cast<int64_t>(PatchesAlong(params.height, 1 << params.stages)) *
         PatchesAlong(params.width, 1 << params.stages);
}

int64_t PackedBytes(const ConvStemParams& params) {
  int64_t bytes = 0;
  int channels = params.channels;
  for (int i = 0; i < params.stages; ++i) {
    const int units = params.stage_channels[i];
    bytes += PackedWeightBytes(units, kConvStemKernel * kConvStemKernel * channels, 8);
    channels = units;
  }
  return bytes + PackedWeightBytes(params.embed_dim, channels, 8);
}

int Units(const ConvStemParams& params) {
  int units = params.embed_dim;
  for (int i = 0; i < params.stages; ++i) units += params.stage_channels[i];
  return units;
}

bool CheckImage(TfLiteContext* context, const TfLiteNode* node, const Options& options,
                ConvStemParams* params) {
  StemImage image;
  if (!CheckStemImage(kName, context, node, options, &image) ||
      !CheckSize(kName, "image", "channels", image.channels, 1, kMaxChannels) ||
      !CheckStrip(kName, image, kConvStemStripRows)) {
    return false;
  }
  params->height = image.height;
  params->width = image.width;
  params->channels = image.channels;
  params->mode = image.mode;
  return true;
}

bool CheckRow(int64_t width, int channels) {
  if (width * channels <= kMaxRowValues) return true;
  MCUFORMER_LOG("%s: a row of the image or of a stage has more than 2^24 values", kName);
  return false;
}

bool CheckStages(const Options& options, ConvStemParams* params) {
  static constexpr const char* kChannels[] = {"channels_1", "channels_2", "channels_3",
                                              "channels_4", "channels_5"};
  static_assert(sizeof(kChannels) / sizeof(kChannels[0]) == kConvStemMaxStages,
                "every stage needs a name");
  int patch_size = 0;
  if (!CheckOption(kName, options, "patch_size", 4, 1 << kConvStemMaxStages, &patch_size)) {
    return false;
  }
  if ((patch_size & (patch_size - 1)) != 0) {
    MCUFORMER_LOG("%s: option patch_size is %d; allowed: 4, 8, 16, 32", kName, patch_size);
    return false;
  }
  if (!CheckRow(params->width, params->channels)) return false;
  int width = params->width;
  params->stages = 0;
  for (int stride = 2; stride <= patch_size; stride *= 2) {
    int* channels = &params->stage_channels[params->stages];
    if (!CheckOption(kName, options, kChannels[params->stages], 1, kMaxChannels, channels)) {
      return false;
    }
    if (*channels % kStepOfInt8 != 0) {
      MCUFORMER_LOG("%s: option %s is %d; allowed: multiples of 4", kName,
                    kChannels[params->stages], *channels);
      return false;
    }
    width = (width + 1) / 2;
    if (!CheckRow(width, *channels)) return false;
    ++params->stages;
  }
  return true;
}

TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  auto* node_data = static_cast<Data*>(node->user_data);
  MCUFORMER_ENSURE(node_data != nullptr, kName, "no memory");
  ConvStemParams& params = node_data->params.params;
  const Options options(node_data->options, node_data->options_size);
  StemOutput output = {};
  if (!CheckImage(context, node, options, &params) || !CheckStages(options, &params) ||
      !CheckStemOutput(kName, context, node, options, Patches(params), &output)) {
    return kTfLiteError;
  }
  params.embed_dim = output.embed_dim;
  params.input_zero_point = output.input_zero_point;
  params.output_zero_point = output.output_zero_point;
  params.position = output.position;
  if (!CheckStemWeights(kName, context, node, PackedBytes(params), Units(params))) {
    return kTfLiteError;
  }
  const int element_size = StemElementSize(context, node);
  const bool class_token = Input(context, node, kClassToken) != nullptr;
  return PrepareStemMemory(kName, context, params.mode,
                           ConvStemMayOverwrite(params, element_size, class_token),
                           ConvStemScratchBytes(params), &node_data->params.scratch);
}

TfLiteStatus Eval(TfLiteContext* context, TfLiteNode* node) {
  const ConvStemData& data = static_cast<Data*>(node->user_data)->params;
  return EvalStem(kName, context, node, data.params.mode, data.scratch,
                  [&data](const StemBuffers& buffers, auto* output) {
                    return ConvStem(data.params, buffers.weights, buffers.source, buffers.scratch,
                                    output);
                  });
}

}  // namespace

TFLMRegistration Register_MCUFORMER_CONV_STEM() {
  return MakeRegistration(kName, InitNode<ConvStemData>, Prepare, Eval);
}

}  // namespace mcuformer
