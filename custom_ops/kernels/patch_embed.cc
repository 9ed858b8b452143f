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

// One tile of a patch.
struct Tile {
  int y, x, height, width;
};

// Where a patch's first pixel lies in the image, or in the padding before it.
struct Corner {
  int top, left;
};

// Widens a row of a tile into a token's place in a block; `values` are there already.
void GatherRow(const PatchEmbedParams& params, const Rows& rows, int y, int x, int size, int token,
               int values, const BlockShape& shape, BlockValue* block) {
  const int width = params.width * params.channels;
  const bool inside = y >= 0 && y < params.height;
  const int8_t* pixels = rows.pixels + (inside ? (y - rows.first) * width : 0);
  if (inside && x >= 0 && x + size <= width && (values | size) % kStepOfInt8 == 0) {
    WidenToken(pixels + x, size / kStepOfInt8, block + BlockIndex(token, values, shape));
    return;
  }
  for (int i = x; i < x + size; ++i, ++values) {
    block[BlockIndex(token, values, shape)] = static_cast<BlockValue>(
        inside && i >= 0 && i < width ? pixels[i] : params.input_zero_point);
  }
}

// Widens the tile's pixels of up to four patches into a token block.
void GatherTile(const PatchEmbedParams& params, const Rows& rows, const Tile& tile,
                const Corner* corners, int tokens, BlockValue* block) {
  const int size = tile.width * params.channels;
  const BlockShape shape(size * tile.height, 8);
  for (int token = 0; token < tokens; ++token) {
    const int top = corners[token].top + tile.y;
    const int x = (corners[token].left + tile.x) * params.channels;
    for (int row = 0; row < tile.height; ++row) {
      GatherRow(params, rows, top + row, x, size, token, row * size, shape, block);
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
void AddTile(const PatchEmbedParams& params, const int8_t* weights, const BlockValue* block,
             int values, int32_t* sums) {
  const int steps = RoundUp(values, kStepOfInt8) / kStepOfInt8;
  for (int unit = 0; unit < params.embed_dim; unit += 2, sums += kSumsOfPair) {
    McuformerDot4x2(block, weights, steps, sums);
    weights += 8 * steps;
  }
}

template <typename T>
void Finish(const PatchEmbedParams& params, const StemWeights& weights, const int32_t* sums,
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

// Widens the patches of a block, or with several tiles sums them up; they count row by row.
void SumBlock(const PatchEmbedParams& params, const StemWeights& weights, const Rows& rows,
              int first, int tokens, bool one_tile, BlockValue* block, int32_t* sums) {
  const int patch = params.patch_size;
  const int columns = PatchesAlong(params.width, patch);
  Corner corners[kBlockTokens];
  for (int token = 0; token < tokens; ++token) {
    const int row = (first + token) / columns, column = (first + token) % columns;
    corners[token] = {row * patch - PaddingBefore(params.height, patch),
                      column * patch - PaddingBefore(params.width, patch)};
  }
  if (!one_tile) StartSums(params, weights.layer, sums);
  const int8_t* packed = weights.layer.weights;
  for (int y = 0; y < patch; y += params.tile) {
    for (int x = 0; x < patch; x += params.tile) {
      const Tile tile = {y, x, Least(params.tile, patch - y), Least(params.tile, patch - x)};
      const int values = tile.height * tile.width * params.channels;
      std::memset(block, 0, TokenBlockBytes(values));
      GatherTile(params, rows, tile, corners, tokens, block);
      if (one_tile) return;
      AddTile(params, packed, block, values, sums);
      packed += PackedWeightBytes(params.embed_dim, values, 8);
    }
  }
}

size_t TileBytes(const PatchEmbedParams& params) {
  const int side = Least(params.tile, params.patch_size);
  return TokenBlockBytes(side * side * params.channels);
}

}  // namespace

bool PatchEmbedMayOverwrite(const PatchEmbedParams& params, int element_size, bool class_token) {
  return TokensMayOverwrite(params.height, params.width, params.channels, params.patch_size,
                            PaddingBefore(params.height, params.patch_size),
                            static_cast<int64_t>(params.embed_dim) * element_size, class_token);
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
bool PatchEmbed(const PatchEmbedParams& params, const StemWeights& weights,
                const ImageSource& source, int8_t* scratch, T* output) {
  const int patch = params.patch_size, dim = params.embed_dim;
  const int columns = PatchesAlong(params.width, patch);
  const int patches = PatchesAlong(params.height, patch) * columns;
  const bool strips = params.mode == ImageMode::kStrips;
  const bool in_place = params.mode == ImageMode::kInPlace;
  T* target = output + (weights.class_token == nullptr ? 0 : dim);
  auto* sums = reinterpret_cast<int32_t*>(scratch);
  auto* block = reinterpret_cast<BlockValue*>(scratch + SumsBytes(dim));
  // In place, tokens are held until their row is whole: its other patches still need the pixels
  // that they will overwrite.
  auto* held = reinterpret_cast<T*>(scratch + SumsBytes(dim) + TileBytes(params));
  // Then positions are what a residual is elsewhere, and no sums need be held.
  const bool one_tile = sizeof(T) == 1 && params.tile >= patch && weights.position != nullptr;
  const int values = patch * patch * params.channels;
  Rows rows = {source.pixels, 0};
  for (int first = 0, tokens = 0; first < patches; first += tokens) {
    // A strip holds the pixels of one row of patches.
    tokens = Least(kBlockTokens, strips ? columns - first % columns : patches - first);
    if (strips && first % columns == 0) {
      const int top = first / columns * patch - PaddingBefore(params.height, patch);
      rows.first = Greatest(top, 0);
      const int count = Least(top + patch, params.height) - rows.first;
      if (!source.read(source.context, rows.first, count, source.pixels)) return false;
    }
    SumBlock(params, weights, rows, first, tokens, one_tile, block, sums);
    for (int done = 0, count = 0; done < tokens; done += count) {
      const int next = first + done, column = next % columns;
      count = in_place ? Least(tokens - done, columns - column) : tokens;
      const int8_t* position =
          weights.position == nullptr ? nullptr : weights.position + next * dim;
      T* to = in_place ? held + column * dim : target + next * dim;
      if constexpr (sizeof(T) == 1) {
        if (one_tile) {
          MultiplyBlock(block + BlockIndex(done, 0, {values, 8}), count, values, dim, weights.layer,
                        ToResidual<T>{position, to, dim, ResidualAdd({0, params.position}),
                                      params.output_zero_point});
        }
      }
      if (!one_tile) Finish(params, weights, sums + done, count, position, to);
      if (in_place && column + count == columns) {
        std::memcpy(target + (next - column) * dim, held, columns * dim * sizeof(T));
      }
    }
  }
  if (weights.class_token != nullptr) std::memcpy(output, weights.class_token, dim * sizeof(T));
  return true;
}

template bool PatchEmbed<int8_t>(const PatchEmbedParams&, const StemWeights&, const ImageSource&,
                                 int8_t*, int8_t*);
template bool PatchEmbed<int16_t>(const PatchEmbedParams&, const StemWeights&, const ImageSource&,
                                  int8_t*, int16_t*);

}  // namespace mcuformer
