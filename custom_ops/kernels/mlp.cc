#include "kernels/mlp.h"

#include <cstring>

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
  std::memset(scratch, 0, MlpScratchBytes(width, hidden, rank));
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
                    [&](int row, int unit, int32_t sum, const UnitConstants& constants) {
                      narrow[BlockIndex(row, unit)] =
                          Requantize(sum, constants, params.fc1_rank_zero_point);
                    });
      block = narrow;
      block_width = rank;
    }
    MultiplyBlock(block, rows, block_width, hidden, weights.fc1_v,
                  [&](int row, int unit, int32_t sum, const UnitConstants& constants) {
                    wide[BlockIndex(row, unit)] = GeluOf(
                        Requantize(sum, constants, params.hidden_zero_point), weights.gelu_table);
                  });
    if (rank > 0) {
      MultiplyBlock(wide, rows, hidden, rank, weights.fc2_u,
                    [&](int row, int unit, int32_t sum, const UnitConstants& constants) {
                      narrow[BlockIndex(row, unit)] =
                          Requantize(sum, constants, params.fc2_rank_zero_point);
                    });
    }
    MultiplyBlock(last_block, rows, last_width, width, weights.fc2_v,
                  [&](int row, int unit, int32_t sum, const UnitConstants& constants) {
                    const int at = row * width + unit;
                    target[at] = Saturate<T>(
                        static_cast<int64_t>(ResidualAdd(sum, constants.multiplier, constants.shift,
                                                         residual[at], params.residual)) +
                        params.output_zero_point);
                  });
  }
}

template void Mlp<int8_t>(const MlpParams&, const MlpWeights&, const int8_t*, int8_t*, int8_t*);
template void Mlp<int16_t>(const MlpParams&, const MlpWeights&, const int16_t*, int8_t*, int16_t*);

}  // namespace mcuformer
