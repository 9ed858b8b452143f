#include "kernels/attention.h"

#include <limits>

namespace mcuformer {
namespace {

// Integer logits of one query against all keys; returns the greatest.
int32_t Logits(const AttentionParams& params, const int8_t* query, const int8_t* keys, int stride,
               int32_t* logits) {
  int32_t greatest = std::numeric_limits<int32_t>::min();
  for (int token = 0; token < params.tokens; ++token, keys += stride) {
    int32_t score = 0;
    for (int i = 0; i < params.head_dim; ++i) {
      score += (query[i] - params.q_zero_point) * (keys[i] - params.k_zero_point);
    }
    logits[token] =
        MultiplyByQuantizedMultiplier(score, params.score.multiplier, params.score.shift);
    if (logits[token] > greatest) greatest = logits[token];
  }
  return greatest;
}

// Turns logits into probabilities in 1/256.
void Softmax(int tokens, int32_t greatest, const uint16_t* exp_table, int32_t* row) {
  uint32_t sum = 0;
  for (int token = 0; token < tokens; ++token) {
    const int64_t distance = static_cast<int64_t>(greatest) - row[token];
    row[token] = exp_table[distance < kExpTableSize ? distance : kExpTableSize - 1];
    sum += static_cast<uint32_t>(row[token]);
  }
  for (int token = 0; token < tokens; ++token) {
    const uint32_t probability = (static_cast<uint32_t>(row[token]) * 256 + sum / 2) / sum;
    row[token] = static_cast<int32_t>(probability < 255 ? probability : 255);
  }
}

}  // namespace

void Attention(const AttentionParams& params, const int8_t* qkv, const uint16_t* exp_table,
               int32_t* scratch, int8_t* output) {
  const int width = params.num_heads * params.head_dim;
  const int stride = 3 * width;
  for (int head = 0; head < params.num_heads; ++head) {
    const int8_t* queries = qkv + head * params.head_dim;
    const int8_t* keys = queries + width;
    const int8_t* values = keys + width;
    for (int token = 0; token < params.tokens; ++token) {
      const int32_t greatest = Logits(params, queries + token * stride, keys, stride, scratch);
      Softmax(params.tokens, greatest, exp_table, scratch);
      int8_t* context = output + token * width + head * params.head_dim;
      for (int i = 0; i < params.head_dim; ++i) {
        int32_t sum = 0;
        for (int other = 0; other < params.tokens; ++other) {
          sum += scratch[other] * (values[other * stride + i] - params.v_zero_point);
        }
        context[i] = Saturate<int8_t>(static_cast<int64_t>(MultiplyByQuantizedMultiplier(
                                          sum, params.context.multiplier, params.context.shift)) +
                                      params.output_zero_point);
      }
    }
  }
}

}  // namespace mcuformer
