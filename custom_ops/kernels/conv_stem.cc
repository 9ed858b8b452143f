#include "kernels/conv_stem.h"

#include <cstring>

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/conv_stem.h"
#endif

namespace mcuformer {
namespace {

constexpr int kTaps = kConvStemKernel;
constexpr int kWordBytes = 4;

constexpr int Least(int a, int b) { return a < b ? a : b; }
constexpr int Greatest(int a, int b) { return a > b ? a : b; }
constexpr int Half(int size) { return (size + 1) / 2; }

// A convolution: the sizes of its input, its constants, and the ring of its last rows of output.
struct Stage {
  int height, width, channels;
  int units;
  int32_t zero_point;
  PackedLayer layer;
  int8_t* ring;

  int Values() const { return kTaps * kTaps * channels; }
  int Steps() const { return RoundUp(Values(), kStepOfInt8) / kStepOfInt8; }
  int RowBytes() const { return width * channels; }
  int OutputRowBytes() const { return Half(width) * units; }
  int8_t* OutputRow(int y) const { return ring + y % kTaps * OutputRowBytes(); }
  PackedLayer NextLayer() const {
    return {layer.weights + PackedWeightBytes(units, Values(), 8), layer.constants + units, 8};
  }
  Stage Next(int next_units) const {
    return {Half(height),
            Half(width),
            units,
            next_units,
            kConvStemZeroPoint,
            NextLayer(),
            ring + kTaps * OutputRowBytes()};
  }
};

// Where in scratch things lie: a token block of pixels first, then one of tokens. There, too, lie a
// pixel's bytes before they are widened. Then the image's last row, and the rings.
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
  const int copied = RoundUp(taps, kStepOfInt8) + kWordBytes;
  Layout layout;
  layout.tokens = TokenBlockBytes(taps);
  layout.kept = layout.tokens + Greatest(static_cast<int>(TokenBlockBytes(last)), copied);
  layout.rings = layout.kept + static_cast<size_t>(params.width) * params.channels;
  layout.size = layout.rings + rings;
  return layout;
}

// A store for MultiplyBlock: tokens with their positions.
template <typename T>
struct ToTokens {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    if (token < tokens) Put(token * embed_dim + unit, rescale(sum));
  }
  // Not inlined: few of all products end here.
  [[gnu::noinline]] void Put(int at, int32_t rescaled) const {
    output[at] = static_cast<T>(
        add.template To<T>(rescaled, position == nullptr ? 0 : position[at], zero_point));
  }
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return add.IsProduct() && embed_dim <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(embed_dim, 1); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    const int16x8_t found = position == nullptr
                                ? vdupq_n_s16(0)
                                : vldrbq_gather_offset_z_s16(position + unit, offsets, lanes);
    const HeliumPair summed = add.To(pair, {vmovlbq_s16(found), vmovltq_s16(found)});
    if constexpr (sizeof(T) == 1) {
      vstrbq_scatter_offset_p_s16(output + unit, offsets, HeliumBytes(summed, zero_point), lanes);
    } else {
      const HeliumPair moved = {vqaddq_n_s32(summed.first, zero_point),
                                vqaddq_n_s32(summed.second, zero_point)};
      vstrhq_scatter_shifted_offset_p_s16(output + unit, offsets, moved.Interleaved(), lanes);
    }
  }
#endif
  const int8_t* position;
  T* output;
  int tokens, embed_dim;
  ResidualAdd add;
  int32_t zero_point;
};

#ifdef MCUFORMER_CORTEX_M_MVE

// Puts what output pixel `x` is made of into a row of a token block.
void GatherPixel(const Stage& stage, const int8_t* const* rows, int x, int8_t* to) {
  const int channels = stage.channels, size = kTaps * channels, left = 2 * x - 1;
  const int before = left < 0 ? channels : 0;
  const int after = left + kTaps > stage.width ? channels : 0;
  for (int row = 0; row < kTaps; ++row, to += size) {
    const bool absent = rows[row] == nullptr;
    if (absent || before + after > 0) mve::Fill(stage.zero_point, size, to);
    if (absent) continue;
    mve::Copy(rows[row] + left * channels + before, size - before - after, to + before);
  }
}

// Gathers up to four pixels from `first` on; returns how many there are.
int GatherPixels(const Stage& stage, const int8_t* const* rows, int first, int8_t* /*taps*/,
                 BlockValue* block) {
  const int tokens = Least(kBlockTokens, Half(stage.width) - first);
  for (int token = 0; token < tokens; ++token) {
    GatherPixel(stage, rows, first + token, block + BlockIndex(token, 0, {stage.Values(), 8}));
  }
  return tokens;
}

#else

// Copies words: unaligned, and as many as are constant where the image has up to three channels.
void CopyWords(const int8_t* from, int words, int8_t* to) {
  switch (words) {
    case 1:
      std::memcpy(to, from, 1 * kWordBytes);
      return;
    case 2:
      std::memcpy(to, from, 2 * kWordBytes);
      return;
    case 3:
      std::memcpy(to, from, 3 * kWordBytes);
      return;
    default:
      std::memcpy(to, from, words * kWordBytes);
  }
}

// Widens what output pixel `x` is made of; pairs: its place in a token block.
void GatherPixel(const Stage& stage, const int8_t* const* rows, int x, int8_t* taps,
                 BlockValue* pairs) {
  const int channels = stage.channels, size = kTaps * channels;
  const int left = 2 * x - 1;
  const int before = left < 0 ? channels : 0;
  const int after = left + kTaps > stage.width ? channels : 0;
  int8_t* tap = taps;
  for (int row = 0; row < kTaps; ++row, tap += size) {
    const bool absent = rows[row] == nullptr;
    if (absent || before + after > 0) std::memset(tap, stage.zero_point, size);
    if (absent) continue;
    std::memcpy(tap + before, rows[row] + left * channels + before, size - before - after);
  }
  for (; tap < taps + stage.Steps() * kStepOfInt8; ++tap) *tap = 0;
  WidenToken(taps, stage.Steps(), pairs);
}

// The same for four pixels that lie inside the image with a word behind them: what of that is
// widened too meets weights of zero.
void GatherInside(const Stage& stage, const int8_t* const* rows, int left, int8_t* taps,
                  BlockValue* block) {
  const int channels = stage.channels, size = kTaps * channels;
  const int words = RoundUp(size, kWordBytes) / kWordBytes;
  for (int token = 0; token < kBlockTokens; ++token, left += 2) {
    for (int row = 0; row < kTaps; ++row) {
      CopyWords(rows[row] + left * channels, words, taps + row * size);
    }
    WidenToken(taps, stage.Steps(), block + BlockIndex(token, 0, {stage.Values(), 8}));
  }
}

// Widens up to four pixels from `first` on; returns how many tokens the block then has. Those
// behind the last of several are as that: a product of four costs less than two of one.
int GatherPixels(const Stage& stage, const int8_t* const* rows, int first, int8_t* taps,
                 BlockValue* block) {
  const int channels = stage.channels, size = kTaps * channels;
  const int left = 2 * first - 1, last = Half(stage.width) - 1;
  const bool aligned = channels % kStepOfInt8 == 0;
  const int end = (left + 2 * kBlockTokens + 1) * channels + (aligned ? 0 : kWordBytes);
  if (left > 0 && end <= stage.RowBytes() && rows[0] != nullptr && rows[2] != nullptr) {
    if (!aligned) {
      GatherInside(stage, rows, left, taps, block);
      return kBlockTokens;
    }
    for (int row = 0; row < kTaps; ++row) {
      const BlockShape shape(stage.Values(), 8);
      WidenTokens(rows[row] + left * channels, 2 * channels, kBlockTokens, size,
                  block + BlockIndex(0, row * size, shape), shape);
    }
    return kBlockTokens;
  }
  const int tokens = first == last ? 1 : kBlockTokens;
  for (int token = 0; token < tokens; ++token) {
    GatherPixel(stage, rows, Least(first + token, last), taps,
                block + BlockIndex(token, 0, {stage.Values(), 8}));
  }
  return tokens;
}

#endif

// Where the block starts that holds pixel `first` and those behind it: two or three that are left
// over have some before them computed once more, since four cost less. One alone costs least.
int BlockStart(int first, int columns) {
  const int left = columns - first;
  return columns >= kBlockTokens && left > 1 && left < kBlockTokens ? columns - kBlockTokens
                                                                    : first;
}

void ConvolveRow(const Stage& stage, const int8_t* const* rows, int8_t* taps, BlockValue* block,
                 int8_t* output) {
  const int columns = Half(stage.width);
  for (int first = 0; first < columns; first += kBlockTokens) {
    first = BlockStart(first, columns);
    const int tokens = Least(GatherPixels(stage, rows, first, taps, block), columns - first);
    MultiplyBlock(block, tokens, stage.Values(), stage.units, stage.layer,
                  ToRows{output + first * stage.units, stage.units, kConvStemZeroPoint});
  }
}

// The last stage's row goes through the projection four pixels at a time.
template <typename T>
[[gnu::noinline]] void ProjectRow(const ConvStemParams& params, const Stage& stage,
                                  const int8_t* const* rows, const int8_t* position,
                                  BlockValue* block, BlockValue* pixels, T* output) {
  const int dim = params.embed_dim, columns = Half(stage.width);
  const PackedLayer projection = stage.NextLayer();
  const bool adds = position != nullptr;
  const ResidualAdd add({0, adds ? params.position : QuantizedMultiplier{0, 0}});
  for (int first = 0; first < columns; first += kBlockTokens) {
    first = BlockStart(first, columns);
    const int tokens = GatherPixels(stage, rows, first, reinterpret_cast<int8_t*>(pixels), block);
    const int count = Least(tokens, columns - first);
    MultiplyBlock(block, tokens, stage.Values(), stage.units, stage.layer,
                  ToBlock{pixels, kConvStemZeroPoint, {stage.units, 8}});
    const int8_t* added = adds ? position + first * dim : nullptr;
    T* target = output + first * dim;
    if constexpr (sizeof(T) == 1) {
      if (adds) {
        MultiplyBlock(pixels, count, stage.units, dim, projection,
                      ToResidual<T>{added, target, dim, add, params.output_zero_point});
        continue;
      }
    }
    MultiplyBlock(pixels, tokens, stage.units, dim, projection,
                  ToTokens<T>{added, target, count, dim, add, params.output_zero_point});
  }
}

}  // namespace

bool ConvStemMayOverwrite(const ConvStemParams& params, int element_size, bool class_token) {
  // A row that a later row of tokens needs as well is kept in scratch.
  return TokensMayOverwrite(params.height, params.width, params.channels, 1 << params.stages, 0,
                            static_cast<int64_t>(params.embed_dim) * element_size, class_token);
}

size_t ConvStemScratchBytes(const ConvStemParams& params) { return LayOut(params).size; }

template <typename T>
bool ConvStem(const ConvStemParams& params, const StemWeights& weights, const ImageSource& source,
              int8_t* scratch, T* output) {
  const Layout layout = LayOut(params);
  auto* block = reinterpret_cast<BlockValue*>(scratch);
  int8_t* taps = scratch + layout.tokens;
  auto* tokens = reinterpret_cast<BlockValue*>(taps);
  int8_t* kept = scratch + layout.kept;  // the image's row above those at hand
  const Stage first = {
      params.height,           params.width,  params.channels,       params.stage_channels[0],
      params.input_zero_point, weights.layer, scratch + layout.rings};
  const int dim = params.embed_dim, row_bytes = first.RowBytes();
  const int columns = PatchesAlong(params.width, 1 << params.stages);
  const bool strips = params.mode == ImageMode::kStrips;
  T* target = output + (weights.class_token == nullptr ? 0 : dim);
  for (int top = 0; top < params.height; top += kConvStemStripRows) {
    const int count = Least(kConvStemStripRows, params.height - top);
    if (strips && !source.read(source.context, top, count, source.pixels)) return false;
    const int8_t* pixels = source.pixels + (strips ? 0 : top * row_bytes);
    const int8_t* rows[kTaps] = {top == 0 ? nullptr : kept, pixels,
                                 count == 1 ? nullptr : pixels + row_bytes};
    Stage stage = first;
    int y = top / 2;  // of the stage's output
    int following = 1;
    // A row of a stage, then that of the next one where this was the last row that it wanted.
    for (; following < params.stages; ++following, y /= 2) {
      ConvolveRow(stage, rows, taps, block, stage.OutputRow(y));
      // Before tokens overwrite it.
      if (following == 1) std::memcpy(kept, pixels + (count - 1) * row_bytes, row_bytes);
      const int height = Half(stage.height);
      if (y % 2 == 0 && y + 1 < height) break;
      const int middle = y & ~1;
      rows[0] = middle == 0 ? nullptr : stage.OutputRow(middle - 1);
      rows[1] = stage.OutputRow(middle);
      rows[2] = middle + 1 < height ? stage.OutputRow(middle + 1) : nullptr;
      stage = stage.Next(params.stage_channels[following]);
    }
    if (following < params.stages) continue;
    const int at = y * columns * dim;
    ProjectRow(params, stage, rows, weights.position == nullptr ? nullptr : weights.position + at,
               block, tokens, target + at);
  }
  if (weights.class_token != nullptr) std::memcpy(output, weights.class_token, dim * sizeof(T));
  return true;
}

template bool ConvStem<int8_t>(const ConvStemParams&, const StemWeights&, const ImageSource&,
                               int8_t*, int8_t*);
template bool ConvStem<int16_t>(const ConvStemParams&, const StemWeights&, const ImageSource&,
                                int8_t*, int16_t*);

}  // namespace mcuformer
