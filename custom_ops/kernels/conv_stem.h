// Convolutional stem: 3x3 convolutions of stride 2 with ReLU up to the stride of a patch, then a
// projection to tokens. Rows of the image are pulled, the last three rows of each stage kept, and
// tokens come out as they are done. Twin: custom_ops/reference/conv_stem.py.
#ifndef MCUFORMER_KERNELS_CONV_STEM_H_
#define MCUFORMER_KERNELS_CONV_STEM_H_

#include <cstddef>
#include <cstdint>

#include "kernels/stem.h"

namespace mcuformer {

constexpr int kConvStemKernel = 3;
constexpr int kConvStemMaxStages = 5;  // a stride of 32
constexpr int kConvStemStripRows = 2;
// Of the stages' outputs. None is below zero: int8's own lower end is the ReLU.
constexpr int32_t kConvStemZeroPoint = -128;

struct ConvStemParams {
  int height;
  int width;
  int channels;
  int stages;                              // their strides make up that of a patch
  int stage_channels[kConvStemMaxStages];  // multiples of 4
  int embed_dim;
  int32_t input_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier position;  // position scale / output scale * 2^kResidualFractionBits
  ImageMode mode;
};

// Whether tokens of `element_size` bytes may overwrite the image: whether each row of them has no
// more bytes than the pixels that were read for it, of which the last row is kept in scratch.
bool ConvStemMayOverwrite(const ConvStemParams& params, int element_size, bool class_token);

// Pixels and tokens of one product, the last row of the image, three rows of each stage but the
// last.
size_t ConvStemScratchBytes(const ConvStemParams& params);

// weights: those of each stage, [units, 3 * 3 * channels], and of the projection. source: its
// strips have kConvStemStripRows rows. output: T[class token + patches, embed_dim], int8 or int16,
// patches row by row. scratch: 4-byte aligned. False if a strip could not be read.
template <typename T>
bool ConvStem(const ConvStemParams& params, const StemWeights& weights, const ImageSource& source,
              int8_t* scratch, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CONV_STEM_H_
