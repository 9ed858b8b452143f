// Patch embedding, decomposed into partial convolutions (paper, section 3.2), from a whole
// image or from strips of its rows. Twin: custom_ops/reference/patch_embed.py.
#ifndef MCUFORMER_KERNELS_PATCH_EMBED_H_
#define MCUFORMER_KERNELS_PATCH_EMBED_H_

#include <cstddef>
#include <cstdint>

#include "kernels/stem.h"

namespace mcuformer {

struct PatchEmbedParams {
  int height;
  int width;
  int channels;
  int patch_size;
  int embed_dim;
  int tile;  // side of a partial convolution, in pixels
  int32_t input_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier position;  // position scale / output scale * 2^kResidualFractionBits
  ImageMode mode;
};

// Pixels of padding above or left of the image: the smaller half comes first.
constexpr int PaddingBefore(int size, int patch_size) {
  return (PatchesAlong(size, patch_size) * patch_size - size) / 2;
}

// Whether tokens of `element_size` bytes may overwrite the image: whether each row of patches
// gives no more bytes than the pixels that no later row needs.
bool PatchEmbedMayOverwrite(const PatchEmbedParams& params, int element_size, bool class_token);

// Sums of four tokens, their pixels of one tile, and what the mode needs beside.
size_t PatchEmbedScratchBytes(const PatchEmbedParams& params, int element_size);

// weights: packed tile by tile, row by row of tiles, each [embed_dim, tile height * tile width *
// channels]. source: its strips have patch_size rows. output: T[class token + patches, embed_dim],
// int8 or int16, patches row by row; pixels outside the image have the value of the zero point.
// scratch: 4-byte aligned. False if a strip could not be read.
template <typename T>
bool PatchEmbed(const PatchEmbedParams& params, const StemWeights& weights,
                const ImageSource& source, int8_t* scratch, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_PATCH_EMBED_H_
