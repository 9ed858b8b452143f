#include "kernels/attention.h"

#include <cstring>

namespace mcuformer {
namespace {

enum Part { kQuery, kKey, kValue, kNumParts };

constexpr int32_t kProbabilityMax = 32767;

size_t AtLeast(size_t a, size_t b) { return a > b ? a : b; }

// Scratch, one part behind the other. Normalised tokens lie where the scores will be.
struct Layout {
  Layout(const AttentionParams& params, bool projects) {
    values = PackedWeightBytes(params.tokens, params.head_dim, 8);
    scores = values + PackedWeightBytes(params.head_dim, params.tokens, 8);
    const size_t normalised = projects ? size_t{kBlockTokens} * params.width : 0;
    queries = scores + AtLeast(TokenBlockBytes(params.tokens), (normalised + 15) & ~size_t{15});
    block = queries + TokenBlockBytes(params.head_dim);
    size = block + (projects ? TokenBlockBytes(params.width) : 0);
  }
  size_t values, scores, queries, block, size;
};

// Logits of up to four tokens become probabilities in 2^-15, in their place.
void Softmax(int tokens, int rows, const int16_t* exp_table, int16_t* block) {
  for (int row = 0; row < rows; ++row) {
    int32_t greatest = INT16_MIN;
    for (int i = 0; i < tokens; ++i) {
      const int32_t logit = block[BlockIndex(row, i)];
      if (logit > greatest) greatest = logit;
    }
    uint32_t sum = 0;
    for (int i = 0; i < tokens; ++i) {
      int16_t* value = block + BlockIndex(row, i);
      const int32_t distance = greatest - *value;
      *value = exp_table[distance < kExpTableSize ? distance : kExpTableSize - 1];
      sum += static_cast<uint32_t>(*value);
    }
    int power = 0;  // floor(log2(sum))
    while ((sum >> power) > 1) ++power;
    const uint32_t normalised = power >= 15 ? sum >> (power - 15) : sum << (15 - power);
    const uint32_t inverse = (uint32_t{1} << 31) / normalised;
    const uint32_t half = uint32_t{1} << power;
    for (int i = 0; i < tokens; ++i) {
      int16_t* value = block + BlockIndex(row, i);
      const uint32_t scaled = (static_cast<uint32_t>(*value) * inverse + half) >> (power + 1);
      *value = static_cast<int16_t>(scaled < kProbabilityMax ? scaled : kProbabilityMax);
    }
  }
}

template <typename T>
class HeadStreamer {
 public:
  HeadStreamer(const AttentionParams& params, const AttentionWeights& weights, const T* input,
               int8_t* scratch)
      : params_(params), weights_(weights), input_(input) {
    const Layout layout(params, Projects());
    std::memset(scratch, 0, layout.size);  // padding of every part stays zero
    keys_ = scratch;
    values_ = scratch + layout.values;
    scores_ = reinterpret_cast<int16_t*>(scratch + layout.scores);
    queries_ = reinterpret_cast<int16_t*>(scratch + layout.queries);
    block_ = reinterpret_cast<int16_t*>(scratch + layout.block);
  }

  void Run(int head, int8_t* output) {
    for (int first = 0; first < params_.tokens; first += kBlockTokens) KeysAndValues(head, first);
    for (int first = 0; first < params_.tokens; first += kBlockTokens) {
      const int rows = Rows(first);
      Queries(head, first, rows);
      Logits(head, first, rows);
      Softmax(params_.tokens, rows, weights_.exp_table, scores_);
      Context(rows, output + (first * params_.num_heads + head) * params_.head_dim);
    }
  }

 private:
  bool Projects() const { return weights_.qkv.weights != nullptr; }

  int Rows(int first) const {
    return params_.tokens - first < kBlockTokens ? params_.tokens - first : kBlockTokens;
  }

  // The packed layer of one part of a head.
  PackedLayer PartOf(int head, Part part) const {
    const size_t index = static_cast<size_t>(head) * kNumParts + part;
    const int bits = weights_.qkv.weight_bits;
    return {weights_.qkv.weights + index * PackedWeightBytes(params_.head_dim, params_.width, bits),
            weights_.qkv.constants + index * params_.head_dim, bits};
  }

  // Widens up to four tokens, normalised, into the block.
  void Load(int first, int rows) {
    const T* tokens = input_ + first * params_.width;
    const int8_t* normalised;
    if (weights_.gamma != nullptr) {
      int8_t* target = reinterpret_cast<int8_t*>(scores_);
      LayerNorm(params_.norm, rows, tokens, weights_.gamma, weights_.beta, target);
      normalised = target;
    } else {
      normalised = reinterpret_cast<const int8_t*>(tokens);
    }
    WidenTokens(normalised, params_.width, rows, params_.width, block_);
  }

  // Calls store(row, channel, value) with one part of up to four tokens.
  template <typename Store>
  void ForEach(int head, Part part, int first, int rows, Store store) const {
    if (Projects()) {
      MultiplyBlock(block_, rows, params_.width, params_.head_dim, PartOf(head, part),
                    [&](int row, int channel, int32_t sum, const UnitConstants& constants) {
                      store(row, channel, Requantize(sum, constants, 0));
                    });
      return;
    }
    const int stride = kNumParts * params_.num_heads * params_.head_dim;
    const int8_t* from = reinterpret_cast<const int8_t*>(input_) + first * stride +
                         (part * params_.num_heads + head) * params_.head_dim;
    for (int row = 0; row < rows; ++row, from += stride) {
      for (int channel = 0; channel < params_.head_dim; ++channel) {
        store(row, channel, from[channel]);
      }
    }
  }

  void KeysAndValues(int head, int first) {
    const int rows = Rows(first);
    if (Projects()) Load(first, rows);
    ForEach(head, kKey, first, rows, [&](int row, int channel, int8_t value) {
      keys_[PackedWeightIndex(first + row, channel, params_.head_dim)] = value;
    });
    ForEach(head, kValue, first, rows, [&](int row, int channel, int8_t value) {
      values_[PackedWeightIndex(channel, first + row, params_.tokens)] = value;
    });
  }

  void Queries(int head, int first, int rows) {
    if (Projects()) Load(first, rows);
    ForEach(head, kQuery, first, rows, [&](int row, int channel, int8_t value) {
      queries_[BlockIndex(row, channel)] = value;
    });
  }

  void Logits(int head, int first, int rows) {
    const int steps = RoundUp(params_.head_dim, kStepOfInt8) / kStepOfInt8;
    const int8_t* pair = keys_;
    for (int key = 0; key < params_.tokens; key += 2, pair += 8 * steps) {
      int32_t sums[2 * kBlockTokens] = {};
      McuformerDot4x2(queries_, pair, steps, sums);
      const int count = key + 1 < params_.tokens ? 2 : 1;
      for (int i = 0; i < count; ++i) {
        for (int row = 0; row < rows; ++row) {
          int64_t logit = MultiplyByQuantizedMultiplier(
              sums[i * kBlockTokens + row], params_.score.multiplier, params_.score.shift);
          if (weights_.position_bias != nullptr) logit += PositionBias(head, first + row, key + i);
          scores_[BlockIndex(row, key + i)] = Saturate<int16_t>(logit);
        }
      }
    }
  }

  int32_t PositionBias(int head, int query, int key) const {
    const int grid = params_.grid, side = 2 * grid - 1;
    const int before = params_.tokens - grid * grid;  // class tokens
    if (query < before || key < before) return 0;
    const int row = (key - before) / grid - (query - before) / grid + grid - 1;
    const int column = (key - before) % grid - (query - before) % grid + grid - 1;
    return weights_.position_bias[(head * side + row) * side + column];
  }

  void Context(int rows, int8_t* output) {
    const int steps = RoundUp(params_.tokens, kStepOfInt8) / kStepOfInt8;
    const int stride = params_.num_heads * params_.head_dim;
    const int8_t* pair = values_;
    for (int channel = 0; channel < params_.head_dim; channel += 2, pair += 8 * steps) {
      int32_t sums[2 * kBlockTokens] = {};
      McuformerDot4x2(scores_, pair, steps, sums);
      const int count = channel + 1 < params_.head_dim ? 2 : 1;
      for (int i = 0; i < count; ++i) {
        for (int row = 0; row < rows; ++row) {
          output[row * stride + channel + i] = Requantize(
              sums[i * kBlockTokens + row], {0, params_.context.multiplier, params_.context.shift},
              params_.output_zero_point);
        }
      }
    }
  }

  const AttentionParams& params_;
  const AttentionWeights& weights_;
  const T* input_;
  int8_t* keys_;
  int8_t* values_;
  int16_t* scores_;
  int16_t* queries_;
  int16_t* block_;
};

}  // namespace

size_t AttentionScratchBytes(const AttentionParams& params, bool projects) {
  return Layout(params, projects).size;
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
