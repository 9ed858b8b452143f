#include "kernels/mlp.h"

#include "kernels/gelu.h"

namespace mcuformer {
namespace {

size_t Greater(size_t a, size_t b) { return a > b ? a : b; }

// Layers read the blocks of one place and write those of the other in turn. The wide ones hold the
// hidden layer, the narrow ones ranks; the input is widened into those that the first layer does
// not write, and is normalised, four tokens at a time, in the other. Staged weights lie behind.
struct Layout {
  explicit Layout(const MlpParams& params)
      : at_once(TokensAtOnce(params.tokens, params.block_tokens)) {
    const int width = params.width, hidden = params.hidden, rank = params.rank;
    const size_t normalised = RoundUp(kBlockTokens * width, 4);
    const size_t input = TokenBlocksBytes(at_once, width);
    wide = rank > 0 ? Greater(TokenBlocksBytes(at_once, rank), normalised) : input;
    stage = wide + Greater(TokenBlocksBytes(at_once, hidden), rank > 0 ? input : normalised);
    const int widest = width > hidden ? width : hidden;
    size = stage + StageBytes(at_once, widest > rank ? widest : rank);
  }
  int at_once;
  size_t wide, stage, size;
};

// A store for MultiplyBlock: the hidden layer.
struct GeluToBlock {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    block[BlockIndex(token, unit, shape)] = table[rescale.template To<int8_t>(sum, zero_point)];
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int unit, const MultiplyCall& call) const {
    return McuformerMultiplyToBlock(call, block + BlockIndex(0, unit, shape), zero_point, table);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return shape.Stride() <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(shape.Stride(), shape.Place(1)); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(block + shape.Place(unit), offsets,
                                HeliumBytes(pair, zero_point, table + INT8_MIN), lanes);
  }
#endif
  BlockValue* block;
  int32_t zero_point;
  const int8_t* table;  // from its entry of 0
  BlockShape shape;
};

}  // namespace

size_t MlpScratchBytes(const MlpParams& params) { return Layout(params).size; }

template <typename T>
void Mlp(const MlpParams& params, const MlpWeights& weights, const T* input, int8_t* scratch,
         T* output) {
  const int width = params.width, hidden = params.hidden, rank = params.rank;
  const Layout layout(params);
  auto* narrow = reinterpret_cast<BlockValue*>(scratch);
  auto* wide = reinterpret_cast<BlockValue*>(scratch + layout.wide);
  int8_t* stage = scratch + layout.stage;
  BlockValue* start = rank > 0 ? wide : narrow;  // where the input is widened
  auto* normalised = reinterpret_cast<int8_t*>(rank > 0 ? narrow : wide);
  const int inner = rank > 0 ? rank : width;
  const ResidualAdd add(params.residual);
  const auto to_ranks = [=](int32_t zero_point, int weight_bits) {
    return [=](int first) {
      return ToBlock{TokenBlockAt(narrow, first, rank), zero_point, {rank, weight_bits}};
    };
  };
  const int start_bits = rank > 0 ? weights.fc1_u.weight_bits : weights.fc1_v.weight_bits;
  const int hidden_bits = rank > 0 ? weights.fc2_u.weight_bits : weights.fc2_v.weight_bits;
  for (int first = 0; first < params.tokens; first += layout.at_once) {
    const int tokens =
        params.tokens - first < layout.at_once ? params.tokens - first : layout.at_once;
    const T* residual = input + first * width;
    T* target = output + first * width;
    for (int token = 0; token < tokens; token += kBlockTokens) {
      const int rows = tokens - token < kBlockTokens ? tokens - token : kBlockTokens;
      LayerNorm(params.norm, rows, residual + token * width, weights.gamma, weights.beta,
                normalised);
      WidenTokens(normalised, width, rows, width, TokenBlockAt(start, token, width),
                  {width, start_bits});
    }
    if (rank > 0) {
      MultiplyTokenBlocks(start, tokens, width, rank, weights.fc1_u, stage,
                          to_ranks(params.fc1_rank_zero_point, weights.fc1_v.weight_bits));
    }
    MultiplyTokenBlocks(narrow, tokens, inner, hidden, weights.fc1_v, stage, [&](int token) {
      return GeluToBlock{TokenBlockAt(wide, token, hidden),
                         params.hidden_zero_point,
                         GeluFromZero(weights.gelu_table),
                         {hidden, hidden_bits}};
    });
    if (rank > 0) {
      MultiplyTokenBlocks(wide, tokens, hidden, rank, weights.fc2_u, stage,
                          to_ranks(params.fc2_rank_zero_point, weights.fc2_v.weight_bits));
    }
    MultiplyTokenBlocks(rank > 0 ? narrow : wide, tokens, rank > 0 ? rank : hidden, width,
                        weights.fc2_v, stage, [&](int token) {
                          return ToResidual<T>{residual + token * width, target + token * width,
                                               width, add, params.output_zero_point};
                        });
  }
}

template void Mlp<int8_t>(const MlpParams&, const MlpWeights&, const int8_t*, int8_t*, int8_t*);
template void Mlp<int16_t>(const MlpParams&, const MlpWeights&, const int16_t*, int8_t*, int16_t*);

}  // namespace mcuformer
