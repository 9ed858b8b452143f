// What the adapters of the stems share: their inputs, their image, and what their kernels run on.
#ifndef MCUFORMER_TFLM_STEM_H_
#define MCUFORMER_TFLM_STEM_H_

#include "kernels/stem.h"
#include "tflm/node.h"

namespace mcuformer {

// Of an image in strips, and of a patch.
constexpr int kMaxImageSize = 1 << 16;

// Inputs by position; positions and class token may be absent.
enum StemInput { kImage, kWeights, kConstants, kPosition, kClassToken };

struct StemImage {
  int height, width, channels;
  ImageMode mode;
  int rows;  // of the tensor: the height, or those of a strip
};

// Whether the first input and the options mode and image_height tell of an image.
bool CheckStemImage(const char* name, TfLiteContext* context, const TfLiteNode* node,
                    const Options& options, StemImage* image);
// Whether the tensor has the rows of a strip, where the image comes in strips.
bool CheckStrip(const char* name, const StemImage& image, int rows);

// How tokens are made of sums: the output's width, zero points and the positions' factor.
struct StemOutput {
  int embed_dim;
  int32_t input_zero_point, output_zero_point;
  QuantizedMultiplier position;
};

// Whether output, zero points, positions and class token are those of so many patches.
bool CheckStemOutput(const char* name, TfLiteContext* context, const TfLiteNode* node,
                     const Options& options, int64_t patches, StemOutput* output);
// The same for packed weights of so many bytes and the constants of so many units.
bool CheckStemWeights(const char* name, TfLiteContext* context, const TfLiteNode* node,
                      int64_t packed_bytes, int units);

// What a kernel runs on.
struct StemBuffers {
  ImageSource source;
  StemWeights weights;
  int8_t* scratch;
  void* output;
};

// Fetches it; false, with a message, without an input source for strips or where the memory plan
// lays the output over the image in another way than `mode` says.
bool GetStemBuffers(const char* name, TfLiteContext* context, const TfLiteNode* node,
                    ImageMode mode, int scratch, StemBuffers* buffers);

// Bytes of an element of the output, int8 or int16.
int StemElementSize(TfLiteContext* context, const TfLiteNode* node);

// Asks for scratch; fails where `mode` has tokens overwrite an image that they may not overwrite.
TfLiteStatus PrepareStemMemory(const char* name, TfLiteContext* context, ImageMode mode,
                               bool may_overwrite, size_t scratch_bytes, int* scratch);

// Runs a stem's kernel: run(buffers, output), for an output of int8 or of int16.
template <typename Run>
TfLiteStatus EvalStem(const char* name, TfLiteContext* context, const TfLiteNode* node,
                      ImageMode mode, int scratch, Run run) {
  StemBuffers buffers;
  if (!GetStemBuffers(name, context, node, mode, scratch, &buffers)) return kTfLiteError;
  const bool delivered = StemElementSize(context, node) == 2
                             ? run(buffers, static_cast<int16_t*>(buffers.output))
                             : run(buffers, static_cast<int8_t*>(buffers.output));
  MCUFORMER_ENSURE(delivered, name, "the input source could not deliver a strip");
  return kTfLiteOk;
}

}  // namespace mcuformer

#endif  // MCUFORMER_TFLM_STEM_H_
