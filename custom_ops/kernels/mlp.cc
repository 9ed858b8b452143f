#include "kernels/mlp.h"

#include "kernels/gelu.h"

namespace mcuformer {
namespace {

size_t Greater(size_t a, size_t b) { return a > b ? a : b; }

// Layers read one block and write the other in turn. The wide one holds the hidden layer, the
// narrow one ranks; the input is widened into the one that the first layer does not write, and
// is normalised in the other.
size_t NormalisedBytes(int width) { return RoundUp(kBlockTokens * width, 4); }

size_t NarrowBytes(int width, int rank) {
  return rank > 0 ? Greater(TokenBlockBytes(rank), NormalisedBytes(width)) : TokenBlockBytes(width);
}

size_t WideBytes(int width, int hidden, int rank) {
  return Greater(TokenBlockBytes(hidden),
                 rank > 0 ? TokenBlockBytes(width) : NormalisedBytes(width));
}

// A store for MultiplyBlock: the hidden layer.
struct GeluToBlock {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    block[BlockIndex(token, unit)] = table[rescale.template To<int8_t>(sum, zero_point)];
  }
  int16_t* block;
  int32_t zero_point;
  const int8_t* table;  // from its entry of 0
};

}  // namespace

size_t MlpScratchBytes(int width, int hidden, int rank) {
  return NarrowBytes(width, rank) + WideBytes(width, hidden, rank);
}

template <typename T>
void Mlp(const MlpParams& params, const MlpWeights& weights, const T* input, int8_t* scratch,
         T* output) {
  const int width = params.width, hidden = params.hidden, rank = params.rank;
  auto* narrow = reinterpret_cast<int16_t*>(scratch);
  auto* wide = reinterpret_cast<int16_t*>(scratch + NarrowBytes(width, rank));
  int16_t* start = rank > 0 ? wide : narrow;  // where the input is widened
  auto* normalised = reinterpret_cast<int8_t*>(rank > 0 ? narrow : wide);
  const int last_width = rank > 0 ? rank : hidden;
  const int16_t* last_block = rank > 0 ? narrow : wide;
  const ResidualAdd add(params.residual);
  for (int first = 0; first < params.tokens; first += kBlockTokens) {
    const int rows = params.tokens - first < kBlockTokens ? params.tokens - first : kBlockTokens;
    const T* residual = input + first * width;
    T* target = output + first * width;
    LayerNorm(params.norm, rows, residual, weights.gamma, weights.beta, normalised);
    WidenTokens(normalised, width, rows, width, start);
    const int16_t* block = start;
    int block_width = width;
    if (rank > 0) {
      MultiplyBlock(start, rows, width, rank, weights.fc1_u,
                    ToBlock{narrow, params.fc1_rank_zero_point});
      block = narrow;
      block_width = rank;
    }
    MultiplyBlock(block, rows, block_width, hidden, weights.fc1_v,
                  GeluToBlock{wide, params.hidden_zero_point, GeluFromZero(weights.gelu_table)});
    if (rank > 0) {
      MultiplyBlock(wide, rows, hidden, rank, weights.fc2_u,
                    ToBlock{narrow, params.fc2_rank_zero_point});
    }
    MultiplyBlock(last_block, rows, last_width, width, weights.fc2_v,
                  ToResidual<T>{residual, target, width, add, params.output_zero_point});
  }
}

template void Mlp<int8_t>(const MlpParams&, const MlpWeights&, const int8_t*, int8_t*, int8_t*);
template void Mlp<int16_t>(const MlpParams&, const MlpWeights&, const int16_t*, int8_t*, int16_t*);

}  // namespace mcuformer
