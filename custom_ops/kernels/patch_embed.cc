#include "kernels/patch_embed.h"

#include <cstring>

namespace mcuformer {
namespace {

int Least(int a, int b) { return a < b ? a : b; }
int Greatest(int a, int b) { return a > b ? a : b; }

constexpr int kSumsOfPair = 2 * kBlockTokens;

size_t SumsBytes(int embed_dim) { return sizeof(int32_t) * kBlockTokens * RoundUp(embed_dim, 2); }

// The rows of the image that lie at hand: `pixels` is the start of row `first`.
struct Rows {
  const int8_t* pixels;
  int first;
};

// One tile of the patch, and where the patch lies in the image.
struct Tile {
  int y, x, height, width;
};

// Widens the tile's pixels of up to four patches side by side into a token block.
void GatherTile(const PatchEmbedParams& params, const Rows& rows, const Tile& tile, int top,
                int left, int tokens, int16_t* block) {
  for (int token = 0; token < tokens; ++token, left += params.patch_size) {
    int value = 0;
    for (int y = top + tile.y; y < top + tile.y + tile.height; ++y) {
      const bool inside = y >= 0 && y < params.height;
      const int x = left + tile.x;
      const int8_t* pixel =
          rows.pixels + (inside ? (y - rows.first) * params.width * params.channels : 0);
      for (int i = x * params.channels; i < (x + tile.width) * params.channels; ++i, ++value) {
        block[BlockIndex(token, value)] = static_cast<int16_t>(
            inside && i >= 0 && i < params.width * params.channels ? pixel[i]
                                                                   : params.input_zero_point);
      }
    }
  }
}

void StartSums(const PatchEmbedParams& params, const PackedLayer& layer, int32_t* sums) {
  for (int unit = 0; unit < params.embed_dim; ++unit) {
    for (int token = 0; token < kBlockTokens; ++token) {
      sums[unit * kBlockTokens + token] = layer.constants[unit].bias;
    }
  }
}

// Adds one partial convolution to the sums of up to four tokens.
void AddTile(const PatchEmbedParams& params, const int8_t* weights, const int16_t* block,
             int values, int32_t* sums) {
  const int steps = RoundUp(values, kStepOfInt8) / kStepOfInt8;
  for (int unit = 0; unit < params.embed_dim; unit += 2, sums += kSumsOfPair) {
    McuformerDot4x2(block, weights, steps, sums);
    weights += 8 * steps;
  }
}

template <typename T>
void Finish(const PatchEmbedParams& params, const PatchEmbedWeights& weights, const int32_t* sums,
            int tokens, const int8_t* position, T* output) {
  const int embed_dim = params.embed_dim;
  const int32_t zero_point = params.output_zero_point;
  const bool adds = position != nullptr;
  const ResidualAdd add({0, adds ? params.position : QuantizedMultiplier{0, 0}});
  for (int unit = 0; unit < embed_dim; ++unit, sums += kBlockTokens) {
    WithRescale(weights.layer.constants[unit], [=](const auto& rescale) {
      for (int token = 0; token < tokens; ++token) {
        const int at = token * embed_dim + unit;
        output[at] = static_cast<T>(
            add.template To<T>(rescale(sums[token]), adds ? position[at] : 0, zero_point));
      }
    });
  }
}

// Embeds one row of patches, four at a time.
template <typename T>
void EmbedRow(const PatchEmbedParams& params, const PatchEmbedWeights& weights, const Rows& rows,
              int patch_row, int8_t* scratch, T* output) {
  const int patch = params.patch_size;
  const int columns = PatchesAlong(params.width, patch);
  const int top = patch_row * patch - PaddingBefore(params.height, patch);
  auto* sums = reinterpret_cast<int32_t*>(scratch);
  auto* block = reinterpret_cast<int16_t*>(scratch + SumsBytes(params.embed_dim));
  for (int column = 0; column < columns; column += kBlockTokens) {
    const int tokens = Least(kBlockTokens, columns - column);
    const int left = column * patch - PaddingBefore(params.width, patch);
    StartSums(params, weights.layer, sums);
    const int8_t* packed = weights.layer.weights;
    for (int y = 0; y < patch; y += params.tile) {
      for (int x = 0; x < patch; x += params.tile) {
        const Tile tile = {y, x, Least(params.tile, patch - y), Least(params.tile, patch - x)};
        const int values = tile.height * tile.width * params.channels;
        std::memset(block, 0, TokenBlockBytes(values));
        GatherTile(params, rows, tile, top, left, tokens, block);
        AddTile(params, packed, block, values, sums);
        packed += PackedWeightBytes(params.embed_dim, values, 8);
      }
    }
    const int first = patch_row * columns + column;
    const int8_t* position =
        weights.position == nullptr ? nullptr : weights.position + first * params.embed_dim;
    Finish(params, weights, sums, tokens, position, output + column * params.embed_dim);
  }
}

size_t TileBytes(const PatchEmbedParams& params) {
  const int side = Least(params.tile, params.patch_size);
  return TokenBlockBytes(side * side * params.channels);
}

}  // namespace

bool PatchEmbedMayOverwrite(const PatchEmbedParams& params, int element_size, bool class_token) {
  const int patch = params.patch_size;
  const int rows = PatchesAlong(params.height, patch);
  const int64_t token = static_cast<int64_t>(params.embed_dim) * element_size;
  for (int row = 0; row < rows; ++row) {
    const int64_t written = token * ((row + 1) * PatchesAlong(params.width, patch) + class_token);
    const int needed =
        Least(Greatest((row + 1) * patch - PaddingBefore(params.height, patch), 0), params.height);
    if (row + 1 < rows && written > static_cast<int64_t>(needed) * params.width * params.channels) {
      return false;
    }
  }
  return true;
}

size_t PatchEmbedScratchBytes(const PatchEmbedParams& params, int element_size) {
  size_t bytes = SumsBytes(params.embed_dim) + TileBytes(params);
  if (params.mode == ImageMode::kInPlace) {
    bytes += static_cast<size_t>(PatchesAlong(params.width, params.patch_size)) * params.embed_dim *
             element_size;
  }
  return bytes;
}

template <typename T>
bool PatchEmbed(const PatchEmbedParams& params, const PatchEmbedWeights& weights,
                const ImageSource& source, int8_t* scratch, T* output) {
  const int patch = params.patch_size;
  const int row_size = PatchesAlong(params.width, patch) * params.embed_dim;
  auto* held = reinterpret_cast<T*>(scratch + SumsBytes(params.embed_dim) + TileBytes(params));
  T* target = output + (weights.class_token == nullptr ? 0 : params.embed_dim);
  for (int row = 0; row < PatchesAlong(params.height, patch); ++row, target += row_size) {
    Rows rows = {source.pixels, 0};
    if (params.mode == ImageMode::kStrips) {
      const int top = row * patch - PaddingBefore(params.height, patch);
      rows.first = Greatest(top, 0);
      const int count = Least(top + patch, params.height) - rows.first;
      if (!source.read(source.context, rows.first, count, source.pixels)) return false;
    }
    if (params.mode == ImageMode::kInPlace) {
      // Other patches of the row still need the pixels that its tokens will overwrite.
      EmbedRow(params, weights, rows, row, scratch, held);
      std::memcpy(target, held, row_size * sizeof(T));
    } else {
      EmbedRow(params, weights, rows, row, scratch, target);
    }
  }
  if (weights.class_token != nullptr) {
    std::memcpy(output, weights.class_token, params.embed_dim * sizeof(T));
  }
  return true;
}

template bool PatchEmbed<int8_t>(const PatchEmbedParams&, const PatchEmbedWeights&,
                                 const ImageSource&, int8_t*, int8_t*);
template bool PatchEmbed<int16_t>(const PatchEmbedParams&, const PatchEmbedWeights&,
                                  const ImageSource&, int8_t*, int16_t*);

}  // namespace mcuformer
