#include "kernels/attention.h"

#include <cstring>

#include "kernels/dsp.h"

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

// Stores for MultiplyBlock: packed weights, of which a key is a unit and a value a column.
struct ToKeys {
  template <typename Rescale>
  void operator()(int token, int channel, int32_t sum, const Rescale& rescale) const {
    keys[PackedWeightIndex(first + token, channel, head_dim)] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, 0));
  }
  int8_t* keys;
  int first, head_dim;
};

struct ToValues {
  template <typename Rescale>
  void operator()(int token, int channel, int32_t sum, const Rescale& rescale) const {
    values[PackedWeightIndex(channel, first + token, tokens)] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, 0));
  }
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
// bias is a sum of what query and key give to it.
class PositionBias {
 public:
  PositionBias(const AttentionParams& params, const int16_t* bias, int first, int rows)
      : columns_(params.grid_columns),
        class_tokens_(params.tokens - params.grid_rows * columns_),
        of_class_token_(bias + (2 * params.grid_rows - 1) * (2 * columns_ - 1)) {
    for (int row = 0; row < rows; ++row) {
      const int query = first + row - class_tokens_;
      const int lines = params.grid_rows - 1 - query / columns_;
      starts_[row] =
          query < 0 ? nullptr : bias + lines * (2 * columns_ - 1) + columns_ - 1 - query % columns_;
    }
  }

  int32_t Of(int row, int key) const {
    const int16_t* start = starts_[row];
    const int patch = key - class_tokens_;
    if (patch < 0) return of_class_token_[start == nullptr ? 2 : 1];
    if (start == nullptr) return of_class_token_[0];
    return start[patch + patch / columns_ * (columns_ - 1)];
  }

 private:
  int columns_, class_tokens_;
  const int16_t* of_class_token_;
  const int16_t* starts_[kBlockTokens];
};

// The softmax of one row of a token block, which starts at its first pair. Whole steps of four
// values are two words: on Cortex-M they are taken as such.

#ifdef MCUFORMER_CORTEX_M_DSP

constexpr int kStepInRow = kStepOfInt8 * kBlockTokens;

// Calls use(word) with both words of each whole step, and stores what it returns.
template <typename Use>
inline int ForEachWord(int tokens, int16_t* row, Use use) {
  const int16_t* end = row + tokens / kStepOfInt8 * kStepInRow;
  for (; row != end; row += kStepInRow) {
    const int32_t even = use(LoadWord(row)), odd = use(LoadWord(row + kStepInRow / 2));
    std::memcpy(row, &even, sizeof(even));
    std::memcpy(row + kStepInRow / 2, &odd, sizeof(odd));
  }
  return tokens & -kStepOfInt8;
}

#endif

int32_t Greatest(int tokens, const int16_t* row) {
  int32_t greatest = INT16_MIN;
  int i = 0;
#ifdef MCUFORMER_CORTEX_M_DSP
  int16x2_t both = static_cast<int16x2_t>(0x80008000);  // twice the least
  for (; i + kStepOfInt8 <= tokens; i += kStepOfInt8) {
    const int16_t* pair = row + i * kBlockTokens;
    both = GreaterPair(LoadWord(pair + kStepInRow / 2), GreaterPair(LoadWord(pair), both));
  }
  greatest = static_cast<int16_t>(both) > both >> 16 ? static_cast<int16_t>(both) : both >> 16;
#endif
  for (; i < tokens; ++i) {
    const int32_t logit = row[BlockIndex(0, i)];
    if (logit > greatest) greatest = logit;
  }
  return greatest;
}

// Replaces logits by their exponentials; returns the sum.
uint32_t Exponentials(int tokens, int32_t greatest, const int16_t* exp_table, int16_t* row) {
  uint32_t sum = 0;
  int i = 0;
#ifdef MCUFORMER_CORTEX_M_DSP
  const int16x2_t both = (greatest & 0xFFFF) * 0x10001;
  i = ForEachWord(tokens, row, [=, &sum](int32_t logits) {
    const uint32_t distances = __usat16(__qsub16(both, logits), 8);
    const uint32_t first = static_cast<uint16_t>(exp_table[distances & 0xFF]);
    const uint32_t second = static_cast<uint16_t>(exp_table[distances >> 16]);
    sum += first + second;
    return static_cast<int32_t>(first | second << 16);
  });
#endif
  for (; i < tokens; ++i) {
    int16_t* value = row + BlockIndex(0, i);
    const int32_t distance = greatest - *value;
    *value = exp_table[distance < kExpTableSize ? distance : kExpTableSize - 1];
    sum += static_cast<uint32_t>(*value);
  }
  return sum;
}

// Replaces exponentials by probabilities in 2^-15.
void Normalise(int tokens, uint32_t inverse, int power, int16_t* row) {
  const uint32_t half = uint32_t{1} << power;
  const auto probability = [=](uint32_t exponential) {
    const uint32_t scaled = (exponential * inverse + half) >> (power + 1);
    return scaled - (scaled >> 15);  // 2^15 is the greatest, and one too many
  };
  int i = 0;
#ifdef MCUFORMER_CORTEX_M_DSP
  i = ForEachWord(tokens, row, [=](int32_t exponentials) {
    const uint32_t word = static_cast<uint32_t>(exponentials);
    return static_cast<int32_t>(probability(word & 0xFFFF) | probability(word >> 16) << 16);
  });
#endif
  for (; i < tokens; ++i) {
    int16_t* value = row + BlockIndex(0, i);
    *value = static_cast<int16_t>(probability(static_cast<uint16_t>(*value)));
  }
}

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
    queries_ = reinterpret_cast<int16_t*>(scratch + layout.queries);
    blocks_ = reinterpret_cast<int16_t*>(scratch + layout.blocks);
    ranks_ = reinterpret_cast<int16_t*>(scratch + layout.ranks);
    stage_ = scratch + layout.stage;
    at_once_ = layout.at_once;
  }

  void Run(int head, int8_t* output) {
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
  PackedLayer PartOf(int head, Part part) const {
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
      WidenTokens(normalised, width, rows, width, TokenBlockAt(blocks_, token, width));
    }
    if (LowRank()) {
      const auto to_ranks = [this](int token) {
        return ToBlock{TokenBlockAt(ranks_, token, params_.width), params_.rank_zero_point};
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
                          PartOf(head, part), stage_, store_at);
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
    if (Projects()) {
      WidenTokens(context, params_.num_heads * params_.head_dim, rows, params_.head_dim, queries_);
    } else {
      WidenTokens(Given(head, kQuery, first), GivenStride(), rows, params_.head_dim, queries_);
    }
  }

  const AttentionParams& params_;
  const AttentionWeights& weights_;
  const T* input_;
  int at_once_;
  bool loaded_ = false;
  int8_t* keys_;
  int8_t* values_;
  int16_t* scores_;
  int16_t* queries_;
  int16_t* blocks_;
  int16_t* ranks_;
  int8_t* stage_;
};

}  // namespace

void AttentionLogits(const AttentionParams& params, const int16_t* position_bias, int first,
                     int rows, const int16_t* queries, const int8_t* keys, int16_t* logits) {
  const UnitConstants score = {0, params.score.multiplier, params.score.shift};
  if (position_bias == nullptr) {
    MultiplyBlock(queries, rows, params.head_dim, params.tokens, keys, score,
                  [=](int row, int key, int32_t sum, const auto& rescale) {
                    logits[BlockIndex(row, key)] =
                        static_cast<int16_t>(rescale.template To<int16_t>(sum, 0));
                  });
    return;
  }
  const PositionBias bias(params, position_bias, first, rows);
  MultiplyBlock(queries, rows, params.head_dim, params.tokens, keys, score,
                [=](int row, int key, int32_t sum, const auto& rescale) {
                  const int32_t logit = SumSaturated(rescale(sum), bias.Of(row, key));
                  logits[BlockIndex(row, key)] = Saturate<int16_t>(logit);
                });
}

void AttentionSoftmax(int tokens, int rows, const int16_t* exp_table, int16_t* block) {
  for (int16_t* row = block; row != block + 2 * rows; row += 2) {
    const uint32_t sum = Exponentials(tokens, Greatest(tokens, row), exp_table, row);
    const int power = BitWidth(sum) - 1;
    const uint32_t normalised = power >= 15 ? sum >> (power - 15) : sum << (15 - power);
    Normalise(tokens, (uint32_t{1} << 31) / normalised, power, row);
  }
}

void AttentionContext(const AttentionParams& params, int rows, const int16_t* probabilities,
                      const int8_t* values, int8_t* output) {
  const UnitConstants context = {0, params.context.multiplier, params.context.shift};
  MultiplyBlock(probabilities, rows, params.tokens, params.head_dim, values, context,
                ToRows{output, params.num_heads * params.head_dim, params.output_zero_point});
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
