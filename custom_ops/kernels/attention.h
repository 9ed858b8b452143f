// Scaled dot-product attention in integers, heads streamed: never more than one row of scores
// is held. Twin: custom_ops/reference/attention.py.
#ifndef MCUFORMER_KERNELS_ATTENTION_H_
#define MCUFORMER_KERNELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

// The sum of a row of 16-bit exponentials must fit 32 bits.
constexpr int kAttentionMaxTokens = 2048;
constexpr int kExpTableSize = 256;

struct AttentionParams {
  int tokens;  // at most kAttentionMaxTokens
  int num_heads;
  int head_dim;
  int32_t q_zero_point;
  int32_t k_zero_point;
  int32_t v_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier score;    // from q k products to integer logits
  QuantizedMultiplier context;  // from 1/256 times value to the output's scale
};

constexpr size_t AttentionScratchBytes(int tokens) { return sizeof(int32_t) * tokens; }

// qkv: int8[tokens, 3, num_heads, head_dim]. exp_table: uint16[256], 65535 exp(-d * step).
// output: int8[tokens, num_heads, head_dim], apart from qkv. scratch: int32[tokens].
void Attention(const AttentionParams& params, const int8_t* qkv, const uint16_t* exp_table,
               int32_t* scratch, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_ATTENTION_H_
