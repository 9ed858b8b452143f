// What every stem shares: where the image comes from, and what its tokens are made with.
#ifndef MCUFORMER_KERNELS_STEM_H_
#define MCUFORMER_KERNELS_STEM_H_

#include <cstdint>

#include "kernels/packed_layer.h"

namespace mcuformer {

enum class ImageMode {
  kWhole,    // the output lies apart from the image
  kInPlace,  // the output starts where the image starts, where the stem's MayOverwrite allows it
  kStrips,   // rows come from a callback, a strip at a time
};

// Where the pixels come from. Whole: pixels is int8[height, width, channels]. In strips: pixels
// is room for int8[rows of a strip, width, channels], into which read(context, row, rows, pixels)
// puts the rows from `row` on, each row of the image once and in order, and tells whether it
// could.
struct ImageSource {
  int8_t* pixels;
  bool (*read)(void* context, int row, int rows, int8_t* pixels);
  void* context;
};

struct StemWeights {
  // The layers' weights packed one after the other, and their units' constants. The multipliers
  // of the last one, which gives tokens, include 2^kResidualFractionBits.
  PackedLayer layer;
  const int8_t* position;   // [patches, embed_dim] with zero point 0, or null
  const void* class_token;  // T[embed_dim] that becomes the first token as it is, or null
};

constexpr int PatchesAlong(int size, int patch_size) {
  return (size + patch_size - 1) / patch_size;
}

// Whether tokens of `token_bytes` may overwrite the image: whether each row of them gives no more
// bytes than the pixels that no later row needs. before: rows of padding above the image.
inline bool TokensMayOverwrite(int height, int width, int channels, int patch_size, int before,
                               int64_t token_bytes, bool class_token) {
  const int64_t row_bytes = static_cast<int64_t>(width) * channels;
  for (int row = 1; row < PatchesAlong(height, patch_size); ++row) {
    const int read = row * patch_size - before;
    const int64_t free = row_bytes * (read < height ? read : height);
    if (token_bytes * (row * PatchesAlong(width, patch_size) + class_token) > free) return false;
  }
  return true;
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_STEM_H_
