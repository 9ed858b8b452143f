#include "kernels/fully_connected.h"

#include "kernels/gelu.h"

namespace mcuformer {
namespace {

// A store for MultiplyBlock: rows behind a GELU.
struct GeluToRows {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    output[token * stride + unit] = table[rescale.template To<int8_t>(sum, zero_point)];
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int unit, const MultiplyCall& call) const {
    return McuformerMultiplyToRowsByTable(call, output + unit, zero_point, stride, 2 * stride, 2, 2,
                                          table);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return stride <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(stride, 1); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(output + unit, offsets,
                                HeliumBytes(pair, zero_point, table + INT8_MIN), lanes);
  }
#endif
  int8_t* output;
  int stride;
  int32_t zero_point;
  const int8_t* table;  // from its entry of 0
};

// Calls a store with the last layer's sums: store(first) gives that which counts tokens from
// `first` on.
template <typename Store>
void Walk(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
          const int8_t* input, int8_t* scratch, bool backwards, Store store) {
  const int width = params.width, rank = params.rank;
  const int at_once = TokensAtOnce(params.tokens, params.block_tokens);
  auto* blocks = reinterpret_cast<BlockValue*>(scratch);
  auto* ranks = reinterpret_cast<BlockValue*>(scratch + TokenBlocksBytes(at_once, width));
  int8_t* stage = scratch + TokenBlocksBytes(at_once, width) + TokenBlocksBytes(at_once, rank);
  const int last = (params.tokens - 1) / at_once * at_once;
  for (int step = 0; step <= last; step += at_once) {
    const int first = backwards ? last - step : step;
    const int tokens = params.tokens - first < at_once ? params.tokens - first : at_once;
    const auto store_at = [&](int offset) { return store(first + offset); };
    WidenTokenBlocks(input + first * width, width, tokens, width, weights.layer.weight_bits,
                     blocks);
    if (rank == 0) {
      MultiplyTokenBlocks(blocks, tokens, width, params.units, weights.layer, stage, store_at);
      continue;
    }
    MultiplyTokenBlocks(blocks, tokens, width, rank, weights.layer, stage, [&](int offset) {
      return ToBlock{TokenBlockAt(ranks, offset, rank),
                     params.rank_zero_point,
                     {rank, weights.second.weight_bits}};
    });
    MultiplyTokenBlocks(ranks, tokens, rank, params.units, weights.second, stage, store_at);
  }
}

}  // namespace

void FullyConnected(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                    const int8_t* input, int8_t* scratch, int8_t* output) {
  const int units = params.units;
  const int32_t zero_point = params.output_zero_point;
  const bool grows = units > params.width;
  if (weights.gelu_table != nullptr) {
    const int8_t* table = GeluFromZero(weights.gelu_table);
    Walk(params, weights, input, scratch, grows, [=](int first) {
      return GeluToRows{output + first * units, units, zero_point, table};
    });
    return;
  }
  Walk(params, weights, input, scratch, grows, [=](int first) {
    return ToRows{output + first * units, units, zero_point};
  });
}

template <typename T>
void FullyConnectedResidual(const FullyConnectedParams& params,
                            const FullyConnectedWeights& weights, const ResidualScale& scale,
                            const int8_t* input, const T* residual, int8_t* scratch, T* output) {
  const int units = params.units;
  const ResidualAdd add(scale);
  Walk(params, weights, input, scratch, false, [&](int first) {
    return ToResidual<T>{residual + first * units, output + first * units, units, add,
                         params.output_zero_point};
  });
}

template void FullyConnectedResidual<int8_t>(const FullyConnectedParams&,
                                             const FullyConnectedWeights&, const ResidualScale&,
                                             const int8_t*, const int8_t*, int8_t*, int8_t*);
template void FullyConnectedResidual<int16_t>(const FullyConnectedParams&,
                                              const FullyConnectedWeights&, const ResidualScale&,
                                              const int8_t*, const int16_t*, int8_t*, int16_t*);

}  // namespace mcuformer
