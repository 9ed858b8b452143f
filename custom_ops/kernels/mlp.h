// A transformer block's whole MLP in one pass: normalise, expand, GELU, contract, add the
// residual, for a few tokens at a time, so that the hidden layer is never held whole.
// Twin: custom_ops/reference/mlp.py.
#ifndef MCUFORMER_KERNELS_MLP_H_
#define MCUFORMER_KERNELS_MLP_H_

#include <cstddef>
#include <cstdint>

#include "kernels/layer_norm.h"
#include "kernels/packed_layer.h"
#include "kernels/token_blocks.h"

namespace mcuformer {

struct MlpParams {
  int tokens;
  int width;
  int hidden;
  int rank;  // of both low-rank pairs (Eq. 1), or 0 for whole matrices
  int32_t fc1_rank_zero_point;
  int32_t hidden_zero_point;  // before GELU
  int32_t fc2_rank_zero_point;
  int32_t output_zero_point;
  ResidualScale residual;
  LayerNormParams norm;             // of the same width
  int block_tokens = kBlockTokens;  // that one pass over the weights serves; a multiple of 4
};

struct MlpWeights {
  const int16_t* gamma;      // [width]
  const int32_t* beta;       // [width]
  const int8_t* gelu_table;  // int8[256]
  PackedLayer fc1_u;         // [rank, width]; not used without rank
  PackedLayer fc1_v;         // [hidden, rank or width]
  PackedLayer fc2_u;         // [rank, hidden]; not used without rank
  PackedLayer fc2_v;         // [width, rank or hidden]; multipliers with 2^kResidualFractionBits
};

size_t MlpScratchBytes(const MlpParams& params);

// input, output: T[tokens, width], int8 or int16; may be the same. scratch: MlpScratchBytes,
// 4-byte aligned.
template <typename T>
void Mlp(const MlpParams& params, const MlpWeights& weights, const T* input, int8_t* scratch,
         T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_MLP_H_
