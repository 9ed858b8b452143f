// Patch embedding, decomposed into partial convolutions (paper, section 3.2).
// Twin: custom_ops/reference/patch_embed.py.
#ifndef MCUFORMER_KERNELS_PATCH_EMBED_H_
#define MCUFORMER_KERNELS_PATCH_EMBED_H_

#include <cstddef>
#include <cstdint>

#include "kernels/fixed_point.h"

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
};

struct PatchEmbedWeights {
  const int8_t* weights;      // [embed_dim, patch_size, patch_size, channels], symmetric
  const int32_t* bias;        // [embed_dim], with -input zero point * sum(weights)
  const int32_t* multiplier;  // [embed_dim], including 2^kResidualFractionBits
  const int8_t* shift;        // [embed_dim], each in [-31, 31]
  const int8_t* position;     // [tokens, embed_dim] with zero point 0, or null
};

constexpr int PatchesAlong(int size, int patch_size) {
  return (size + patch_size - 1) / patch_size;
}
constexpr size_t PatchEmbedScratchBytes(int embed_dim) { return sizeof(int32_t) * embed_dim; }

// image: int8[height, width, channels]; padded with its zero point, the smaller half first,
// where it is no multiple of the patch. output: T[tokens, embed_dim], int8 or int16.
// scratch: int32[embed_dim], the sums of one token.
template <typename T>
void PatchEmbed(const PatchEmbedParams& params, const PatchEmbedWeights& weights,
                const int8_t* image, int32_t* scratch, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_PATCH_EMBED_H_
