#include "kernels/conv_stem.h"

#include <cstring>

namespace mcuformer {
namespace {

constexpr int kTaps = kConvStemKernel;

constexpr int Least(int a, int b) { return a < b ? a : b; }
constexpr int Greatest(int a, int b) { return a > b ? a : b; }
constexpr int Half(int size) { return (size + 1) / 2; }

// A convolution: the sizes of its input, and the ring of the input's last rows.
struct Stage {
  int height, width, channels;
  int units;
  int32_t zero_point;
  PackedLayer layer;
  int8_t* ring;

  int Values() const { return kTaps * kTaps * channels; }
  int RowBytes() const { return width * channels; }
  int8_t* Row(int y) const { return ring + y % kTaps * RowBytes(); }
};

// The places of what scratch holds. `pixels` and `tokens` are token blocks; `taps`, what a pixel
// is made of before it is widened, lies where the tokens come afterwards.
struct Layout {
  size_t tokens, kept, rings, size;
};

Layout LayOut(const ConvStemParams& params) {
  const int last = params.stage_channels[params.stages - 1];
  int channels = params.channels, widest = channels, width = params.width;
  size_t rings = 0;
  for (int stage = 0; stage + 1 < params.stages; ++stage) {
    channels = params.stage_channels[stage];
    width = Half(width);
    widest = Greatest(widest, channels);
    rings += static_cast<size_t>(kTaps) * width * channels;
  }
  const int taps = kTaps * kTaps * widest;
  Layout layout;
  layout.tokens = TokenBlockBytes(taps);
  layout.kept =
      layout.tokens + Greatest(static_cast<int>(TokenBlockBytes(last)), RoundUp(taps, kStepOfInt8));
  layout.rings = layout.kept + static_cast<size_t>(params.width) * params.channels;
  layout.size = layout.rings + rings;
  return layout;
}

// A store for MultiplyBlock: pixels of a stage's output.
struct ToPixels {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    if (token >= pixels) return;
    output[token * units + unit] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, kConvStemZeroPoint));
  }
  int8_t* output;
  int pixels, units;
};

// A store for MultiplyBlock: tokens with their positions.
template <typename T>
struct ToTokens {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    if (token >= tokens) return;
    const int at = token * embed_dim + unit;
    output[at] = static_cast<T>(
        add.template To<T>(rescale(sum), position == nullptr ? 0 : position[at], zero_point));
  }
  const int8_t* position;
  T* output;
  int tokens, embed_dim;
  ResidualAdd add;
  int32_t zero_point;
};

// Widens what output pixel `x` is made of; pairs: its place in a token block.
void GatherPixel(const Stage& stage, const int8_t* const* rows, int x, int8_t* taps,
                 int16_t* pairs) {
  const int channels = stage.channels, size = kTaps * channels;
  const int left = 2 * x - 1;
  const int before = left < 0 ? channels : 0;
  const int after = left + kTaps > stage.width ? channels : 0;
  const bool padded = before + after > 0;
  if (channels % kStepOfInt8 == 0 && !padded && rows[0] != nullptr && rows[2] != nullptr) {
    for (int row = 0; row < kTaps; ++row) {
      WidenToken(rows[row] + left * channels, size / kStepOfInt8,
                 pairs + row * size * kBlockTokens);
    }
    return;
  }
  int8_t* tap = taps;
  for (int row = 0; row < kTaps; ++row, tap += size) {
    const bool absent = rows[row] == nullptr;
    if (padded || absent) std::memset(tap, stage.zero_point, size);
    if (absent) continue;
    std::memcpy(tap + before, rows[row] + left * channels + before, size - before - after);
  }
  const int steps = RoundUp(stage.Values(), kStepOfInt8) / kStepOfInt8;
  for (; tap < taps + steps * kStepOfInt8; ++tap) *tap = 0;
  WidenToken(taps, steps, pairs);
}

// Widens up to four pixels from `first` on. Those behind the last are as the last: a product of
// four costs less than three products of one.
int GatherPixels(const Stage& stage, const int8_t* const* rows, int first, int8_t* taps,
                 int16_t* block) {
  const int last = Half(stage.width) - 1;
  for (int token = 0; token < kBlockTokens; ++token) {
    GatherPixel(stage, rows, Least(first + token, last), taps, block + 2 * token);
  }
  return Least(kBlockTokens, last + 1 - first);
}

void ConvolveRow(const Stage& stage, const int8_t* const* rows, int8_t* taps, int16_t* block,
                 int8_t* output) {
  for (int first = 0, pixels; first < Half(stage.width); first += pixels) {
    pixels = GatherPixels(stage, rows, first, taps, block);
    MultiplyBlock(block, kBlockTokens, stage.Values(), stage.units, stage.layer,
                  ToPixels{output + first * stage.units, pixels, stage.units});
  }
}

// The last stage's row goes through the projection four pixels at a time.
template <typename T>
void ProjectRow(const ConvStemParams& params, const Stage& stage, const PackedLayer& projection,
                const int8_t* const* rows, const int8_t* position, int16_t* block, int16_t* tokens,
                T* output) {
  const int dim = params.embed_dim;
  const ResidualAdd add({0, position == nullptr ? QuantizedMultiplier{0, 0} : params.position});
  for (int first = 0, count; first < Half(stage.width); first += count) {
    count = GatherPixels(stage, rows, first, reinterpret_cast<int8_t*>(tokens), block);
    MultiplyBlock(block, kBlockTokens, stage.Values(), stage.units, stage.layer,
                  ToBlock{tokens, kConvStemZeroPoint});
    MultiplyBlock(tokens, kBlockTokens, stage.units, dim, projection,
                  ToTokens<T>{position == nullptr ? nullptr : position + first * dim,
                              output + first * dim, count, dim, add, params.output_zero_point});
  }
}

// Fills in the stages; returns the projection.
PackedLayer MakeStages(const ConvStemParams& params, PackedLayer layer, int8_t* rings,
                       Stage* stages) {
  int height = params.height, width = params.width, channels = params.channels;
  int32_t zero_point = params.input_zero_point;
  for (int i = 0; i < params.stages; ++i) {
    const int units = params.stage_channels[i];
    stages[i] = {height, width, channels, units, zero_point, layer, rings};
    layer.weights += PackedWeightBytes(units, stages[i].Values(), 8);
    layer.constants += units;
    if (i > 0) rings += kTaps * stages[i].RowBytes();
    height = Half(height);
    width = Half(width);
    channels = units;
    zero_point = kConvStemZeroPoint;
  }
  return layer;
}

}  // namespace

bool ConvStemMayOverwrite(const ConvStemParams& params, int element_size, bool class_token) {
  const int patch = 1 << params.stages;
  const int64_t token = static_cast<int64_t>(params.embed_dim) * element_size;
  const int64_t row = static_cast<int64_t>(params.width) * params.channels;
  for (int done = 1; done < PatchesAlong(params.height, patch); ++done) {
    if (token * (done * PatchesAlong(params.width, patch) + class_token) > done * patch * row) {
      return false;
    }
  }
  return true;
}

size_t ConvStemScratchBytes(const ConvStemParams& params) { return LayOut(params).size; }

template <typename T>
bool ConvStem(const ConvStemParams& params, const StemWeights& weights, const ImageSource& source,
              int8_t* scratch, T* output) {
  const Layout layout = LayOut(params);
  auto* block = reinterpret_cast<int16_t*>(scratch);
  auto* tokens = reinterpret_cast<int16_t*>(scratch + layout.tokens);
  auto* taps = scratch + layout.tokens;
  int8_t* kept = scratch + layout.kept;  // the image's row above those at hand
  Stage stages[kConvStemMaxStages];
  const PackedLayer projection = MakeStages(params, weights.layer, scratch + layout.rings, stages);
  const int dim = params.embed_dim, last = params.stages - 1;
  const int columns = Half(stages[last].width);
  const int row_bytes = stages[0].RowBytes();
  T* target = output + (weights.class_token == nullptr ? 0 : dim);
  for (int top = 0; top < params.height; top += kConvStemStripRows) {
    const int count = Least(kConvStemStripRows, params.height - top);
    const bool strips = params.mode == ImageMode::kStrips;
    if (strips && !source.read(source.context, top, count, source.pixels)) return false;
    const int8_t* pixels = source.pixels + (strips ? 0 : top * row_bytes);
    const int8_t* rows[kTaps] = {top == 0 ? nullptr : kept, pixels,
                                 count == 1 ? nullptr : pixels + row_bytes};
    // Row `y` of a stage's output, then that of the next stage where it was the last one missing.
    for (int i = 0, y = top / 2;; ++i, y /= 2) {
      const Stage& stage = stages[i];
      if (i == last) {
        const int first = y * columns * dim;
        ProjectRow(params, stage, projection, rows,
                   weights.position == nullptr ? nullptr : weights.position + first, block, tokens,
                   target + first);
        break;
      }
      const Stage& next = stages[i + 1];
      ConvolveRow(stage, rows, taps, block, next.Row(y));
      // Before tokens overwrite it.
      if (i == 0) std::memcpy(kept, pixels + (count - 1) * row_bytes, row_bytes);
      if (y % 2 == 0 && y + 1 < next.height) break;
      const int middle = y & ~1;
      rows[0] = middle == 0 ? nullptr : next.Row(middle - 1);
      rows[1] = next.Row(middle);
      rows[2] = middle + 1 < next.height ? next.Row(middle + 1) : nullptr;
    }
  }
  if (weights.class_token != nullptr) std::memcpy(output, weights.class_token, dim * sizeof(T));
  return true;
}

template bool ConvStem<int8_t>(const ConvStemParams&, const StemWeights&, const ImageSource&,
                               int8_t*, int8_t*);
template bool ConvStem<int16_t>(const ConvStemParams&, const StemWeights&, const ImageSource&,
                                int8_t*, int16_t*);

}  // namespace mcuformer
