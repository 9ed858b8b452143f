#include "kernels/attention.h"

#include <cstring>

#include "kernels/cortex_m/rows.h"
#include "kernels/dsp.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/attention_softmax.h"
#endif

namespace mcuformer {
namespace {

enum Part { kQuery, kKey, kValue, kNumParts };

size_t AtLeast(size_t a, size_t b) { return a > b ? a : b; }

// Scratch, one part behind the other. Normalised tokens lie where the scores will be, four at a
// time; so do, of a single block, their products with U of a low-rank pair.
struct Layout {
  Layout(const AttentionParams& params, bool projects, bool low_rank)
      : at_once(projects ? TokensAtOnce(params.tokens, params.block_tokens) : kBlockTokens) {
    const int width = low_rank ? params.norm.width : params.width;
    values = PackedWeightBytes(params.tokens, params.head_dim, 8);
    scores = values + PackedWeightBytes(params.head_dim, params.tokens, 8);
    const size_t normalised = projects ? size_t{kBlockTokens} * width : 0;
    const size_t rank_bytes = low_rank ? TokenBlocksBytes(at_once, params.width) : 0;
    const bool apart = at_once > kBlockTokens;
    queries = scores + AtLeast(AtLeast(TokenBlockBytes(params.tokens), apart ? 0 : rank_bytes),
                               (normalised + 15) & ~size_t{15});
    blocks = queries + TokenBlockBytes(params.head_dim);
    const size_t end = blocks + (projects ? TokenBlocksBytes(at_once, width) : 0);
    ranks = apart ? end : scores;
    stage = apart ? end + rank_bytes : end;
    size = stage + StageBytes(at_once, width > params.width ? width : params.width);
  }
  int at_once;
  size_t values, scores, queries, blocks, ranks, stage, size;
};

// Keys 1 and 2 of four change places in blocks of logits and in values, so that logits of two keys,
// which are computed together, lie side by side.
constexpr int PlaceOf(int key) { return (key & ~3) | (key & 1) << 1 | (key >> 1 & 1); }
#ifdef MCUFORMER_CORTEX_M_MVE
constexpr int LogitIndex(int row, int key, int tokens) { return row * LogitStride(tokens) + key; }
// Of eight keys each, or at the end of four, those of a channel and then those of the next.
constexpr int kKeysOfVector = 8;
constexpr int ChannelStep(int key, int tokens) {
  const int whole = LogitStride(tokens) & -kKeysOfVector;
  return key < whole ? kKeysOfVector : kKeysOfVector / 2;
}
constexpr int ValueIndex(int channel, int key, int tokens) {
  return (channel & ~1) * LogitStride(tokens) + (key & -kKeysOfVector) * 2 +
         (channel & 1) * ChannelStep(key, tokens) + key % kKeysOfVector;
}
#else
[[gnu::always_inline]] constexpr int LogitIndex(int row, int key, int /*tokens*/) {
  return (key & ~1) * kBlockTokens + 2 * row + (key & 1);  // BlockIndex(row, PlaceOf(key))
}
constexpr int ValueIndex(int channel, int key, int tokens) {
  return PackedWeightIndex(channel, PlaceOf(key), tokens);
}
#endif

// Stores for MultiplyBlock: packed weights, of which a key is a unit and a value a column.
struct ToKeys {
  template <typename Rescale>
  void operator()(int token, int channel, int32_t sum, const Rescale& rescale) const {
    keys[PackedWeightIndex(first + token, channel, head_dim)] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, 0));
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  // Four channels of a key are a word: a pair of them is followed by the word's other half, and
  // that by the word behind the other key's.
  const int8_t* MultiplyPairs(int channel, const MultiplyCall& call) const {
    const int within = channel & 2 ? 6 : 2;
    return McuformerMultiplyToRows(call, keys + PackedWeightIndex(first, channel, head_dim), 0,
                                   PackedWeightIndex(1, 0, head_dim),
                                   PackedWeightIndex(2, 0, head_dim), within, 8 - within);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  int PairStep() const { return PackedWeightIndex(2, 0, head_dim); }
  bool ServesPairs() const { return PairStep() <= kMostStride; }
  uint16x8_t Offsets() const {
    static constexpr uint16_t kSecond[8] = {0, 1, 4, 5, 0, 1, 4, 5},
                              kPair[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    return vmlaq_n_u16(vldrhq_u16(kSecond), vldrhq_u16(kPair), static_cast<uint16_t>(PairStep()));
  }
  [[gnu::always_inline]] void StorePair(int channel, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(keys + PackedWeightIndex(first, channel, head_dim), offsets,
                                HeliumBytes(pair, 0), lanes);
  }
#endif
  int8_t* keys;
  int first, head_dim;
};

struct ToValues {
  template <typename Rescale>
  void operator()(int token, int channel, int32_t sum, const Rescale& rescale) const {
    values[ValueIndex(channel, first + token, tokens)] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, 0));
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int channel, const MultiplyCall& call) const {
    return McuformerMultiplyToColumns(call, values + PackedWeightIndex(channel, first, tokens), 0,
                                      PackedWeightIndex(2, 0, tokens));
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return true; }
  uint16x8_t Offsets() const { return PairOffsets(1, ChannelStep(first, tokens)); }
  [[gnu::always_inline]] void StorePair(int channel, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(values + ValueIndex(channel, first, tokens), offsets,
                                HeliumBytes(pair, 0), lanes);
  }
#endif
  int8_t* values;
  int first, tokens;
};

// In the place of a rescaling, for what is int8 already.
struct Unscaled {
  template <typename T>
  int32_t To(int32_t value, int32_t) const {
    return value;
  }
};

// What is added to the logits of one head's queries, up to four, from `first` on. The place of a
// bias is a sum of what query and key give to it; keys come in their order, for each query or for
// all of them, and so the key's part is walked.
class PositionBias {
 public:
  PositionBias(const AttentionParams& params, const int16_t* bias, int first, int rows)
      : columns_(params.grid_columns),
        class_tokens_(params.tokens - params.grid_rows * columns_),
        of_class_token_(bias == nullptr ? nullptr
                                        : bias + (2 * params.grid_rows - 1) * (2 * columns_ - 1)) {
    if (bias == nullptr) return;
    const int query = first < class_tokens_ ? 0 : first - class_tokens_;
    int column = query % columns_;
    const int16_t* start = bias + (params.grid_rows - 1 - query / columns_) * (2 * columns_ - 1) +
                           columns_ - 1 - column;
    for (int row = 0; row < kBlockTokens; ++row) {
      if (first + row < class_tokens_) {
        starts_[row] = nullptr;
        continue;
      }
      starts_[row] = start;
      if (row + 1 >= rows) continue;  // rows that are missing repeat the last one's
      --start;
      if (++column < columns_) continue;
      column = 0;
      start -= columns_ - 1;
    }
  }

  int32_t Of(int row, int key) {
    const int16_t* start = starts_[row];
    const int patch = key - class_tokens_;
    if (patch < 0) return of_class_token_[start == nullptr ? 2 : 1];
    if (start == nullptr) return of_class_token_[0];
    Walk(patch);
    return start[place_];
  }

  // Where the biases of each query start; null for a class token, and any for a row that is
  // missing.
  const int16_t* const* starts() const { return starts_; }
  int ClassTokens() const { return class_tokens_; }
  const int16_t* OfClassToken() const { return of_class_token_; }

 private:
  void Walk(int patch) {
    if (patch < patch_) patch_ = column_ = place_ = 0;
    for (; patch_ < patch; ++patch_) {
      const bool last = ++column_ == columns_;
      if (last) column_ = 0;
      place_ += last ? columns_ : 1;
    }
  }

  int columns_, class_tokens_;
  const int16_t* of_class_token_;
  const int16_t* starts_[kBlockTokens];
  int patch_ = 0, column_ = 0, place_ = 0;  // of the last key
};

// A store for MultiplyBlock: logits of queries by keys, into a token block.
struct ToLogits {
  template <typename Rescale>
  void operator()(int row, int key, int32_t sum, const Rescale& rescale) const {
    const int32_t logit =
        bias == nullptr ? rescale(sum) : SumSaturated(rescale(sum), bias->Of(row, key));
    logits[LogitIndex(row, key, params.tokens)] = Saturate<int16_t>(logit);
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = true;
  // The biases of a class token lie apart: its query and the first keys are not served.
  const int8_t* MultiplyPairs(int key, const MultiplyCall& call) const {
    static constexpr const int16_t* kNone[kBlockTokens] = {};
    const int32_t multiplier = params.score.multiplier, shift = params.score.shift;
    const int16_t* const* starts = bias == nullptr ? kNone : bias->starts();
    const int patch = bias == nullptr ? 0 : key - bias->ClassTokens();
    if (!RescaleDown::Serves(multiplier, shift) || patch < 0 ||
        (bias != nullptr && starts[0] == nullptr)) {
      return call.weights;
    }
    // Of a single column the biases lie side by side, as those of a single row.
    const bool is_column = params.grid_columns == 1;
    const int columns = is_column ? params.grid_rows : params.grid_columns;
    const int rows = is_column ? 1 : params.grid_rows;
    int row = 0, column = patch;
    for (; column >= columns && column > 0; column -= columns) ++row;
    constexpr int kBytes = sizeof(int16_t);
    const int offset = row * (2 * columns - 1) + column;
    const int right = -1 - shift;
    const bool fits = (RoundUp(params.head_dim, kStepOfInt8) << 14 >> right) < INT16_MAX;
    if (!fits && bias != nullptr) return call.weights;  // saturated once, with the bias
    return McuformerMultiplyToLogits(
        call, logits + LogitIndex(0, key, params.tokens),
        static_cast<int32_t>(static_cast<uint32_t>(multiplier) << 1),
        fits ? right : INT32_MIN + right, starts[0], starts[1], starts[2], starts[3],
        kBytes * offset, kBytes * (offset - column + columns), rows - row, kBytes * columns);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return bias == nullptr; }
  uint32x4_t Offsets() const {
    return vmulq_n_u32(vidupq_n_u32(0, 1), sizeof(int16_t) * LogitStride(params.tokens));
  }
  // A key that is missing from the last pair has room behind it.
  [[gnu::always_inline]] void StorePair(int key, const HeliumPair& pair, uint32x4_t offsets,
                                        mve_pred16_t lanes) const {
    vstrwq_scatter_offset_p_s32(reinterpret_cast<int32_t*>(logits + key), offsets,
                                vreinterpretq_s32_s16(pair.Interleaved()),
                                static_cast<mve_pred16_t>(lanes | lanes << 2));
  }
#endif
  const AttentionParams& params;
  PositionBias* bias;  // or null
  int16_t* logits;
};

#ifdef MCUFORMER_CORTEX_M_MVE

// Whether logits without their bias fit 16 bits: then the bias may be added to them as they are.
bool FitInt16(const AttentionParams& params) {
  const int32_t shift = params.score.shift;
  return shift < 0 && (RoundUp(params.head_dim, kStepOfInt8) << 14 >> (-1 - shift)) < INT16_MAX;
}

// Adds to eight logits, or as many as there are.
template <typename Added>
[[gnu::always_inline]] inline void AddSaturated(int count, int16_t* x, const Added& added) {
  for (int i = 0; i < count; i += kKeysOfVector) {
    const mve_pred16_t lanes = vctp16q(count - i);
    vstrhq_p_s16(x + i, added(vldrhq_z_s16(x + i, lanes), i, lanes), lanes);
  }
}

// The biases of up to four rows, whose keys lie in the order of the grid.
void AddBias(const AttentionParams& params, const PositionBias& bias, int rows, int16_t* logits) {
  // Of a single column the biases lie side by side, as those of a single row.
  const bool is_column = params.grid_columns == 1;
  const int columns = is_column ? params.grid_rows : params.grid_columns;
  const int lines = is_column ? 1 : params.grid_rows;
  const int class_tokens = bias.ClassTokens();
  for (int row = 0; row < rows; ++row) {
    const int16_t* start = bias.starts()[row];
    int16_t* x = logits + LogitIndex(row, 0, params.tokens);
    if (class_tokens > 0) {
      const int16_t* of_class = bias.OfClassToken();
      x[0] = Saturate<int16_t>(x[0] + of_class[start == nullptr ? 2 : 1]);
      ++x;
      if (start == nullptr) {
        AddSaturated(params.tokens - 1, x, [of_class](int16x8_t logits_of_keys, int, mve_pred16_t) {
          return vqaddq_n_s16(logits_of_keys, of_class[0]);
        });
        continue;
      }
    }
    for (int line = 0; line < lines; ++line, x += columns, start += 2 * columns - 1) {
      AddSaturated(columns, x, [start](int16x8_t logits_of_keys, int i, mve_pred16_t lanes) {
        return vqaddq_s16(logits_of_keys, vldrhq_z_s16(start + i, lanes));
      });
    }
  }
}

#endif

// What a row's sum of exponentials comes to: probabilities in 2^-15 are exponentials times inverse
// over 2^(power + 1), rounded.
struct Inverse {
  [[gnu::always_inline]] explicit Inverse(uint32_t sum)
      : power(BitWidth(sum | 1) - 1), inverse((uint32_t{1} << 31) / (sum << (31 - power) >> 16)) {}
  int power;
  uint32_t inverse;
};

#ifndef MCUFORMER_CORTEX_M_MVE

// Replaces the exponentials of one row of a token block, which starts at its first pair.
void Normalise(int tokens, const Inverse& by, int16_t* row) {
  const uint32_t half = uint32_t{1} << by.power;
  for (int i = 0; i < tokens; ++i) {
    int16_t* value = row + LogitIndex(0, i, tokens);
    const uint32_t scaled = (static_cast<uint16_t>(*value) * by.inverse + half) >> (by.power + 1);
    *value = static_cast<int16_t>(scaled - (scaled >> 15));  // 2^15 is the greatest
  }
}

#endif

#ifdef MCUFORMER_CORTEX_M_SMLAD

// Whole steps of four rows: rows that are missing may hold anything, and keys that are missing get
// the least logit, whose exponentials are taken from the sums again.
void SoftmaxOfFour(int tokens, int rows, const int16_t* exp_table, int16_t* block) {
  const int steps = RoundUp(tokens, kStepOfInt8) / kStepOfInt8, all = steps * kStepOfInt8;
  for (int i = tokens; i < all; ++i) {
    int16_t* missing = block + LogitIndex(0, i, tokens);
    for (int row = 0; row < kBlockTokens; ++row) missing[2 * row] = INT16_MIN;
  }
  int32_t sums[kBlockTokens];  // of two rows at a time; before, their greatest
  McuformerGreatestOfFour(block, steps, sums);
  McuformerExponentialsOfTwo(block, steps, exp_table, sums);
  if (rows > 2) McuformerExponentialsOfTwo(block + 4, steps, exp_table, sums + 2);
  const int16_t* missing = block + LogitIndex(0, all - 1, tokens);
  const int32_t greatest = exp_table[0];
  int32_t factors[kBlockTokens];
  int32_t least = greatest;
  for (int row = 0; row < kBlockTokens; ++row) {
    factors[row] = 0;
    if (row >= rows) continue;
    const int32_t sum = sums[row] -= (all - tokens) * missing[2 * row];
    const Inverse by(static_cast<uint32_t>(sum));
    // Of a table that starts near 2^15, as it should, a sum is greater than 2^14. Then the inverse
    // can be shifted so that of each product the same 30 bits are lost, and stays below 2^31.
    if (sum < least) least = sum;
    factors[row] = static_cast<int32_t>(by.inverse << (29 - by.power));
    // A probability of 2^15, which is one too much, has only zeros beside it, which stay 0.
    if (sum == greatest && MultiplyAddHigh(factors[row], exp_table[0], 1 << 13) >> 14 == 1 << 15) {
      factors[row] -= (factors[row] >> 16) + (factors[row] >> 17);
    }
  }
  if (least > 1 << 14) return McuformerProbabilitiesOfFour(block, steps, factors);
  for (int row = 0; row < rows; ++row) {
    Normalise(tokens, Inverse(static_cast<uint32_t>(sums[row])), block + 2 * row);
  }
}

#endif

template <typename T>
class HeadStreamer {
 public:
  HeadStreamer(const AttentionParams& params, const AttentionWeights& weights, const T* input,
               int8_t* scratch)
      : params_(params), weights_(weights), input_(input) {
    const Layout layout(params, Projects(), LowRank());
    std::memset(scratch, 0, layout.scores);  // keys and values, as the padding of packed weights
    keys_ = scratch;
    values_ = scratch + layout.values;
    scores_ = reinterpret_cast<int16_t*>(scratch + layout.scores);
    queries_ = reinterpret_cast<BlockValue*>(scratch + layout.queries);
    blocks_ = reinterpret_cast<BlockValue*>(scratch + layout.blocks);
    ranks_ = reinterpret_cast<BlockValue*>(scratch + layout.ranks);
    stage_ = scratch + layout.stage;
    at_once_ = layout.at_once;
  }

  void Run(int head, int8_t* output) {
    if (Projects()) {
      for (int part = 0; part < kNumParts; ++part) parts_[part] = PartOf(head, part);
    }
    const int stride = params_.num_heads * params_.head_dim;
    int8_t* context = output + head * params_.head_dim;
    for (int first = 0; first < params_.tokens; first += at_once_) {
      Project(head, first, Count(first, params_.tokens, at_once_), context + first * stride);
    }
    const int16_t* bias = weights_.position_bias;
    if (bias != nullptr) bias += head * PositionBiases(params_);
    for (int first = 0; first < params_.tokens; first += kBlockTokens) {
      const int rows = Count(first, params_.tokens, kBlockTokens);
      int8_t* target = context + first * stride;
      WidenQueries(head, first, rows, target);
      AttentionLogits(params_, bias, first, rows, queries_, keys_, scores_);
      AttentionSoftmax(params_.tokens, rows, weights_.exp_table, scores_);
      AttentionContext(params_, rows, scores_, values_, target);
    }
  }

 private:
  bool Projects() const { return weights_.qkv.weights != nullptr; }
  bool LowRank() const { return weights_.qkv_u.weights != nullptr; }

  // How many of `tokens` there are from `first` on, up to `most`.
  static int Count(int first, int tokens, int most) {
    return tokens - first < most ? tokens - first : most;
  }

  // The packed layer of one part of a head.
  PackedLayer PartOf(int head, int part) const {
    const size_t index = static_cast<size_t>(head) * kNumParts + part;
    const int bits = weights_.qkv.weight_bits;
    return {weights_.qkv.weights + index * PackedWeightBytes(params_.head_dim, params_.width, bits),
            weights_.qkv.constants + index * params_.head_dim, bits};
  }

  // Widens tokens, normalised, into the blocks; of a low-rank pair multiplies them by U. Where all
  // of them lie there already, for an earlier head, nothing is left to do.
  void Load(int first, int tokens) {
    if (loaded_) return;
    loaded_ = tokens == params_.tokens && at_once_ > kBlockTokens;
    const int width = LowRank() ? params_.norm.width : params_.width;
    for (int token = 0; token < tokens; token += kBlockTokens) {
      const int rows = Count(token, tokens, kBlockTokens);
      const T* from = input_ + (first + token) * width;
      const int8_t* normalised = reinterpret_cast<const int8_t*>(from);
      if (weights_.gamma != nullptr) {
        int8_t* target = reinterpret_cast<int8_t*>(scores_);
        LayerNorm(params_.norm, rows, from, weights_.gamma, weights_.beta, target);
        normalised = target;
      }
      WidenTokens(normalised, width, rows, width, TokenBlockAt(blocks_, token, width),
                  {width, LowRank() ? weights_.qkv_u.weight_bits : weights_.qkv.weight_bits});
    }
    if (LowRank()) {
      const auto to_ranks = [this](int token) {
        return ToBlock{TokenBlockAt(ranks_, token, params_.width),
                       params_.rank_zero_point,
                       {params_.width, weights_.qkv.weight_bits}};
      };
      MultiplyTokenBlocks(blocks_, tokens, width, params_.width, weights_.qkv_u, stage_, to_ranks);
    }
  }

  // Where a part of a head lies in an input that holds queries, keys and values.
  const int8_t* Given(int head, Part part, int first) const {
    return reinterpret_cast<const int8_t*>(input_) +
           ((first * kNumParts + part) * params_.num_heads + head) * params_.head_dim;
  }
  int GivenStride() const { return kNumParts * params_.num_heads * params_.head_dim; }

  // Stores one part of the tokens from `first` on: store_at(token) is a store for MultiplyBlock
  // that counts from there.
  template <typename StoreAt>
  void ForEach(int head, Part part, int first, int tokens, StoreAt store_at) const {
    if (Projects()) {
      MultiplyTokenBlocks(LowRank() ? ranks_ : blocks_, tokens, params_.width, params_.head_dim,
                          parts_[part], stage_, store_at);
      return;
    }
    const auto store = store_at(0);
    const int8_t* from = Given(head, part, first);
    for (int row = 0; row < tokens; ++row, from += GivenStride()) {
      for (int channel = 0; channel < params_.head_dim; ++channel) {
        store(row, channel, from[channel], Unscaled());
      }
    }
  }

  // Keys and values of some tokens; their queries wait where their context will be, so that tokens
  // are normalised once a head.
  void Project(int head, int first, int tokens, int8_t* context) {
    if (Projects()) {
      Load(first, tokens);
      const int stride = params_.num_heads * params_.head_dim;
      ForEach(head, kQuery, first, tokens, [=](int token) {
        return ToRows{context + token * stride, stride, 0};
      });
    }
    ForEach(head, kKey, first, tokens, [this, first](int token) {
      return ToKeys{keys_, first + token, params_.head_dim};
    });
    ForEach(head, kValue, first, tokens, [this, first](int token) {
      return ToValues{values_, first + token, params_.tokens};
    });
  }

  void WidenQueries(int head, int first, int rows, const int8_t* context) {
    const int width = params_.head_dim;
    const BlockShape shape(width, 8);
    if (Projects()) {
      WidenTokens(context, params_.num_heads * width, rows, width, queries_, shape);
    } else {
      WidenTokens(Given(head, kQuery, first), GivenStride(), rows, width, queries_, shape);
    }
  }

  const AttentionParams& params_;
  const AttentionWeights& weights_;
  const T* input_;
  PackedLayer parts_[kNumParts];  // of the head
  int at_once_;
  bool loaded_ = false;
  int8_t* keys_;
  int8_t* values_;
  int16_t* scores_;
  BlockValue* queries_;
  BlockValue* blocks_;
  BlockValue* ranks_;
  int8_t* stage_;
};

}  // namespace

void AttentionLogits(const AttentionParams& params, const int16_t* position_bias, int first,
                     int rows, const BlockValue* queries, const int8_t* keys, int16_t* logits) {
  const UnitConstants score = {0, params.score.multiplier, params.score.shift};
#ifdef MCUFORMER_CORTEX_M_SMLAD
  constexpr bool kAsFour = true;  // cheaper than fewer, and rows that are missing may be any
#else
  constexpr bool kAsFour = false;
#endif
  const int tokens = kAsFour ? kBlockTokens : rows;
  PositionBias bias(params, position_bias, first, rows);
#ifdef MCUFORMER_CORTEX_M_MVE
  const bool adds = position_bias != nullptr && FitInt16(params);
  const ToLogits store = {params, position_bias == nullptr || adds ? nullptr : &bias, logits};
#else
  const ToLogits store = {params, position_bias == nullptr ? nullptr : &bias, logits};
#endif
#ifdef MCUFORMER_CORTEX_M_SMLAD
  const int steps = RoundUp(params.head_dim, kStepOfInt8) / kStepOfInt8;
  const MultiplyCall all = {McuformerInt8.first,
                            McuformerInt8.Next(steps),
                            queries,
                            queries + steps * kStepOfInt8 * kBlockTokens,
                            keys,
                            keys + PackedWeightBytes(params.tokens, params.head_dim, 8),
                            nullptr,
                            0,
                            nullptr};
  if (store.MultiplyPairs(0, all) == nullptr) return;
#endif
  MultiplyBlock(queries, tokens, params.head_dim, params.tokens, keys, score, store);
#ifdef MCUFORMER_CORTEX_M_MVE
  if (adds) AddBias(params, bias, rows, logits);
#endif
}

void AttentionSoftmax(int tokens, int rows, const int16_t* exp_table, int16_t* block) {
#ifdef MCUFORMER_CORTEX_M_SMLAD
  SoftmaxOfFour(tokens, rows, exp_table, block);
#elif defined(MCUFORMER_CORTEX_M_MVE)
  for (int row = 0; row < rows; ++row, block += LogitStride(tokens)) {
    const uint32_t sum = mve::Exponentials(tokens, mve::GreatestLogit(tokens, block), exp_table,
                                           kExpTableSize - 1, block);
    const Inverse by(sum);
    mve::Probabilities(tokens, by.inverse, by.power, block);
  }
#else
  for (int16_t *row = block, *end = block + LogitIndex(rows, 0, tokens); row != end;
       row += LogitIndex(1, 0, tokens)) {
    int32_t greatest = INT16_MIN;
    for (int i = 0; i < tokens; ++i) {
      const int32_t logit = row[LogitIndex(0, i, tokens)];
      if (logit > greatest) greatest = logit;
    }
    uint32_t sum = 0;
    for (int i = 0; i < tokens; ++i) {
      int16_t* value = row + LogitIndex(0, i, tokens);
      const int32_t distance = greatest - *value;
      *value = exp_table[distance < kExpTableSize ? distance : kExpTableSize - 1];
      sum += static_cast<uint32_t>(*value);
    }
    Normalise(tokens, Inverse(sum), row);
  }
#endif
}

void AttentionContext(const AttentionParams& params, int rows, const int16_t* probabilities,
                      const int8_t* values, int8_t* output) {
  const UnitConstants context = {0, params.context.multiplier, params.context.shift};
  const ToRows store = {output, params.num_heads * params.head_dim, params.output_zero_point};
#ifdef MCUFORMER_CORTEX_M_MVE
  const int stride = LogitStride(params.tokens), tail = params.tokens % kKeysOfVector;
  const HeliumCall call = packed_layer::HeliumCallOf(probabilities, rows, stride * sizeof(int16_t),
                                                     params.tokens / kKeysOfVector, tail);
  packed_layer::MultiplyRowPairs(call, packed_layer::kNoSums,
                                 tail == 0 ? McuformerHeliumInt16 : McuformerHeliumInt16Tail, rows,
                                 params.head_dim, {values, &context, 0, 0}, store);
#else
  MultiplyBlock(probabilities, rows, params.tokens, params.head_dim, values, context, store);
#endif
}

size_t AttentionScratchBytes(const AttentionParams& params, bool projects, bool low_rank) {
  return Layout(params, projects, low_rank).size;
}

template <typename T>
void Attention(const AttentionParams& params, const AttentionWeights& weights, const T* input,
               int8_t* scratch, int8_t* output) {
  HeadStreamer<T> streamer(params, weights, input, scratch);
  for (int head = 0; head < params.num_heads; ++head) streamer.Run(head, output);
}

template void Attention<int8_t>(const AttentionParams&, const AttentionWeights&, const int8_t*,
                                int8_t*, int8_t*);
template void Attention<int16_t>(const AttentionParams&, const AttentionWeights&, const int16_t*,
                                 int8_t*, int8_t*);

}  // namespace mcuformer
