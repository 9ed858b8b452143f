// Attention in integers, heads streamed: queries of four tokens, keys and values of one head,
// scores of four rows are held, never the whole matrix of scores.
// Twin: custom_ops/reference/attention.py.
#ifndef MCUFORMER_KERNELS_ATTENTION_H_
#define MCUFORMER_KERNELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "kernels/layer_norm.h"
#include "kernels/packed_layer.h"
#include "kernels/token_blocks.h"

namespace mcuformer {

#ifdef MCUFORMER_CORTEX_M_MVE
constexpr int LogitStride(int tokens) { return RoundUp(tokens, kStepOfInt8); }
#endif

// The sum of a row of exponentials must fit 26 bits.
constexpr int kAttentionMaxTokens = 2048;
constexpr int kExpTableSize = 256;

struct AttentionParams {
  int tokens;  // at most kAttentionMaxTokens
  int width;   // of what qkv takes, where queries, keys and values are computed here: a token's,
               // or the rank of a low-rank pair
  int num_heads;
  int head_dim;
  int32_t output_zero_point;
  QuantizedMultiplier score;    // from q k products to integer logits
  QuantizedMultiplier context;  // from 2^-15 times value to the output's scale
  int grid_rows;                // of patches, for the position bias
  int grid_columns;
  int32_t rank_zero_point;  // between the layers of a low-rank pair
  LayerNormParams norm;     // of a token's width
  // Tokens that one pass over qkv serves, a multiple of 4. Where that is all of them, they are
  // normalised once for all heads.
  int block_tokens = kBlockTokens;
};

struct AttentionWeights {
  // Of each head its queries, keys and values, each packed alone: [head_dim, width]. Without
  // weights the input holds queries, keys and values: int8[tokens, 3, num_heads, head_dim].
  PackedLayer qkv;
  const int16_t* gamma;      // [width]; null where the input is normalised already
  const int32_t* beta;       // [width]
  const int16_t* exp_table;  // [kExpTableSize], 32767 exp(-d * step)
  // int16[num_heads, PositionBiases] in integer logits: (2 grid_rows - 1) * (2 grid_columns - 1)
  // by (key row - query row, key column - query column), each counted from its least; behind
  // them, where a class token precedes the patches, three: from it to a patch, from a patch to it,
  // and for it alone. Or null.
  const int16_t* position_bias;
  // U of a low-rank pair, of which qkv is V: [width, norm.width]. Only with gamma and beta: of
  // normalised tokens that are held somewhere, U is better computed once.
  PackedLayer qkv_u;
};

// Of one head.
constexpr int64_t PositionBiases(const AttentionParams& params) {
  const int64_t steps =
      (int64_t{2} * params.grid_rows - 1) * (int64_t{2} * params.grid_columns - 1);
  const bool class_token = params.tokens > params.grid_rows * params.grid_columns;
  return steps + (class_token ? 3 : 0);
}

// The parts of the operator that work on up to four queries: `rows`, from `first` on.
//
// queries, keys: int8 values of one head, a token block [rows, head_dim] and packed weights
// [tokens, head_dim]. logits: a token block [rows, tokens], in which keys 1 and 2 of each four
// change places; with Helium rows of int16, LogitStride of them each.
void AttentionLogits(const AttentionParams& params, const int16_t* position_bias, int first,
                     int rows, const BlockValue* queries, const int8_t* keys, int16_t* logits);
// Turns the logits of a token block [rows, tokens] into probabilities in 2^-15.
void AttentionSoftmax(int tokens, int rows, const int16_t* exp_table, int16_t* block);
// values: packed weights [head_dim, tokens], tokens in the order of logits; with Helium as
// McuformerHeliumInt16 takes them. output: of the head in
// the first query.
void AttentionContext(const AttentionParams& params, int rows, const int16_t* probabilities,
                      const int8_t* values, int8_t* output);

size_t AttentionScratchBytes(const AttentionParams& params, bool projects, bool low_rank);

// input: T[tokens, width], or [tokens, norm.width] where qkv_u is there, int8 (normalised or not)
// or int16 (not). output: int8[tokens, num_heads, head_dim], apart from the input; it holds a
// head's queries until their context takes their place. scratch: 4-byte aligned. Queries, keys and
// values have zero point 0.
template <typename T>
void Attention(const AttentionParams& params, const AttentionWeights& weights, const T* input,
               int8_t* scratch, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_ATTENTION_H_
