#include "kernels/patch_embed.h"

#include "kernels/dot.h"

namespace mcuformer {
namespace {

int Least(int a, int b) { return a < b ? a : b; }
int Greatest(int a, int b) { return a > b ? a : b; }

// The part of one patch's row from column `first` to `last` that lies inside the image; what
// lies outside has the value of the zero point.
void AddRow(const PatchEmbedParams& params, const int8_t* weights, const int8_t* image, int y,
            int x, int row, int first, int last, int32_t* sums) {
  const int channels = params.channels;
  const int row_size = params.patch_size * channels;
  const bool inside = y + row >= 0 && y + row < params.height;
  const int begin = inside ? Least(Greatest(first, -x), last) : last;
  const int end = inside ? Greatest(Least(last, params.width - x), begin) : last;
  const int8_t* pixels =
      inside && end > begin ? image + ((y + row) * params.width + x + begin) * channels : nullptr;
  for (int unit = 0; unit < params.embed_dim; ++unit) {
    const int8_t* filter = weights + (unit * params.patch_size + row) * row_size;
    int32_t outside = 0;
    for (int i = first * channels; i < begin * channels; ++i) outside += filter[i];
    for (int i = end * channels; i < last * channels; ++i) outside += filter[i];
    sums[unit] += outside * params.input_zero_point;
    sums[unit] = Dot(pixels, filter + begin * channels, (end - begin) * channels, sums[unit]);
  }
}

}  // namespace

template <typename T>
void PatchEmbed(const PatchEmbedParams& params, const PatchEmbedWeights& weights,
                const int8_t* image, int32_t* scratch, T* output) {
  const int patch = params.patch_size;
  const int rows = PatchesAlong(params.height, patch);
  const int columns = PatchesAlong(params.width, patch);
  const int top = (rows * patch - params.height) / 2;
  const int left = (columns * patch - params.width) / 2;
  const int8_t* position = weights.position;
  for (int token = 0; token < rows * columns; ++token) {
    const int y = token / columns * patch - top;
    const int x = token % columns * patch - left;
    for (int unit = 0; unit < params.embed_dim; ++unit) scratch[unit] = weights.bias[unit];
    for (int tile_y = 0; tile_y < patch; tile_y += params.tile) {
      for (int tile_x = 0; tile_x < patch; tile_x += params.tile) {
        const int last = Least(tile_x + params.tile, patch);
        for (int row = tile_y; row < Least(tile_y + params.tile, patch); ++row) {
          AddRow(params, weights.weights, image, y, x, row, tile_x, last, scratch);
        }
      }
    }
    for (int unit = 0; unit < params.embed_dim; ++unit) {
      const ResidualScale scale = {0, params.position};
      const int32_t summed = position != nullptr
                                 ? ResidualAdd(scratch[unit], weights.multiplier[unit],
                                               weights.shift[unit], *position++, scale)
                                 : RoundingDivideByPot(MultiplyByQuantizedMultiplier(
                                                           scratch[unit], weights.multiplier[unit],
                                                           weights.shift[unit]),
                                                       kResidualFractionBits);
      *output++ = Saturate<T>(static_cast<int64_t>(summed) + params.output_zero_point);
    }
  }
}

template void PatchEmbed<int8_t>(const PatchEmbedParams&, const PatchEmbedWeights&, const int8_t*,
                                 int32_t*, int8_t*);
template void PatchEmbed<int16_t>(const PatchEmbedParams&, const PatchEmbedWeights&, const int8_t*,
                                  int32_t*, int16_t*);

}  // namespace mcuformer
