#include "tflm/stem.h"

#include "tflm/input_source.h"

namespace mcuformer {

bool CheckStemImage(const char* name, TfLiteContext* context, const TfLiteNode* node,
                    const Options& options, StemImage* image) {
  const TfLiteEvalTensor* tensor = Input(context, node, kImage);
  int rows = 0;
  int32_t mode = 0;
  if (!CheckMatrix(name, "image", tensor, kInt8, &rows, &image->channels) ||
      !CheckSize(name, "image", "rank", tensor->dims->size, 4, 4) ||
      !CheckSize(name, "image", "batch", tensor->dims->data[0], 1, 1) ||
      !CheckOption(name, options, "mode", 0, 2, &mode)) {
    return false;
  }
  image->mode = static_cast<ImageMode>(mode);
  image->rows = tensor->dims->data[1];
  image->width = tensor->dims->data[2];
  const bool strips = image->mode == ImageMode::kStrips;
  return CheckOption(name, options, "image_height", strips ? 1 : image->rows,
                     strips ? kMaxImageSize : image->rows, &image->height);
}

bool CheckStrip(const char* name, const StemImage& image, int rows) {
  return image.mode != ImageMode::kStrips ||
         CheckSize(name, "strip", "height", image.rows, rows, rows);
}

bool CheckStemOutput(const char* name, TfLiteContext* context, const TfLiteNode* node,
                     const Options& options, int64_t patches, StemOutput* output) {
  const TfLiteEvalTensor* tensor = Output(context, node);
  TfLiteEvalTensor* position = Input(context, node, kPosition);
  TfLiteEvalTensor* class_token = Input(context, node, kClassToken);

  int rows = 0;
  if (!CheckMatrix(name, "output", tensor, kInt8 | kInt16, &rows, &output->embed_dim) ||
      !CheckSize(name, "output", "width", output->embed_dim, 1, kMaxLayerWidth)) {
    return false;
  }
  if (rows != patches + (class_token != nullptr)) {
    MCUFORMER_LOG("%s: output must have a row a patch and class token", name);
    return false;
  }
  return CheckZeroPoint(name, options, "input_zero_point", kTfLiteInt8,
                        &output->input_zero_point) &&
         CheckZeroPoint(name, options, "output_zero_point", tensor->type,
                        &output->output_zero_point) &&
         (position == nullptr ||
          (CheckConstant(name, "position", position, kTfLiteInt8, patches * output->embed_dim) &&
           CheckMultiplier(name, options, "position_multiplier", "position_shift",
                           &output->position))) &&
         (class_token == nullptr ||
          CheckConstant(name, "class token", class_token, tensor->type, output->embed_dim));
}

bool CheckStemWeights(const char* name, TfLiteContext* context, const TfLiteNode* node,
                      int64_t packed_bytes, int units) {
  return CheckConstant(name, "weights", Input(context, node, kWeights), kTfLiteInt8,
                       packed_bytes) &&
         CheckUnitConstants(name, "constants", Input(context, node, kConstants), units);
}

bool GetStemBuffers(const char* name, TfLiteContext* context, const TfLiteNode* node,
                    ImageMode mode, int scratch, StemBuffers* buffers) {
  buffers->source = {DataAt<int8_t>(context, node, kImage), nullptr, nullptr};
  if (mode == ImageMode::kStrips) {
    const InputSource* input = GetInputSource(context);
    if (input == nullptr || input->read == nullptr) {
      MCUFORMER_LOG("%s: the model reads its image in strips, but no input source is set", name);
      return false;
    }
    buffers->source.read = input->read;
    buffers->source.context = input->context;
  }
  buffers->weights = {LayerAt(context, node, kWeights, 8), DataAt<int8_t>(context, node, kPosition),
                      DataAt<void>(context, node, kClassToken)};
  TfLiteEvalTensor* output = Output(context, node);
  buffers->output = tflm::Data(output);
  buffers->scratch = static_cast<int8_t*>(tflm::GetScratchBuffer(context, scratch));
  int rows = 0, channels = 0, tokens = 0, embed_dim = 0;
  return MatrixShape(Input(context, node, kImage), &rows, &channels) &&
         MatrixShape(output, &tokens, &embed_dim) &&
         CheckAliasing(name, "image", buffers->source.pixels, int64_t{rows} * channels,
                       buffers->output,
                       int64_t{tokens} * embed_dim * StemElementSize(context, node),
                       mode == ImageMode::kInPlace);
}

TfLiteStatus PrepareStemMemory(const char* name, TfLiteContext* context, ImageMode mode,
                               bool may_overwrite, size_t scratch_bytes, int* scratch) {
  MCUFORMER_ENSURE(mode != ImageMode::kInPlace || may_overwrite, name,
                   "tokens are larger than the pixels they would overwrite; use mode 0");
  return tflm::RequestScratchBuffer(context, scratch_bytes, scratch);
}

int StemElementSize(TfLiteContext* context, const TfLiteNode* node) {
  return Output(context, node)->type == kTfLiteInt16 ? 2 : 1;
}

}  // namespace mcuformer
