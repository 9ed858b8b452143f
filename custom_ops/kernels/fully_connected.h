// Fully connected layer, in place where wanted (token overwriting, paper section 3.2), or a
// low-rank pair of them (Eq. 1). Twin: custom_ops/reference/fully_connected.py.
#ifndef MCUFORMER_KERNELS_FULLY_CONNECTED_H_
#define MCUFORMER_KERNELS_FULLY_CONNECTED_H_

#include <cstddef>
#include <cstdint>

#include "kernels/packed_layer.h"
#include "kernels/token_blocks.h"

namespace mcuformer {

struct FullyConnectedParams {
  int tokens;
  int width;  // of the input
  int units;  // of the output
  int rank;   // between the two layers of a low-rank pair, or 0 for one layer
  int32_t rank_zero_point;
  int32_t output_zero_point;
  int block_tokens = kBlockTokens;  // that one pass over the weights serves; a multiple of 4
};

struct FullyConnectedWeights {
  PackedLayer layer;         // [units, width]; of a pair U, [rank, width]
  PackedLayer second;        // V of a pair, [units, rank]
  const int8_t* gelu_table;  // int8[256] applied to the output (kernels/gelu.h), or null
};

// Tokens widened to 16 bits, between the layers of a pair as many more, and staged weights.
constexpr size_t FullyConnectedScratchBytes(const FullyConnectedParams& params) {
  const int at_once = TokensAtOnce(params.tokens, params.block_tokens);
  return TokenBlocksBytes(at_once, params.width) + TokenBlocksBytes(at_once, params.rank) +
         StageBytes(at_once, params.width > params.rank ? params.width : params.rank);
}

// input: int8[tokens, width]. output: int8[tokens, units], apart from the input or starting
// where it starts. scratch: FullyConnectedScratchBytes, 4-byte aligned. `block_tokens` tokens are
// copied out before their outputs are written; growing rows are walked last to first, shrinking
// rows first to last: so no row is overwritten before it was read.
void FullyConnected(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                    const int8_t* input, int8_t* scratch, int8_t* output);

// output = residual + layer(input), T int8 or int16. residual, output: T[tokens, units]; may
// be the same. The multipliers of the last layer include 2^kResidualFractionBits; its GELU
// table is not used.
template <typename T>
void FullyConnectedResidual(const FullyConnectedParams& params,
                            const FullyConnectedWeights& weights, const ResidualScale& scale,
                            const int8_t* input, const T* residual, int8_t* scratch, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_FULLY_CONNECTED_H_
