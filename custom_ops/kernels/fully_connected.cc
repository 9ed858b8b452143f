#include "kernels/fully_connected.h"

#include "kernels/gelu.h"

namespace mcuformer {
namespace {

// Calls store(first, token, unit, sum, rescale) with the last layer's sums, four tokens, counted
// from `first`, at a time.
template <typename Store>
void Walk(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
          const int8_t* input, int8_t* scratch, bool backwards, Store store) {
  auto* block = reinterpret_cast<int16_t*>(scratch);
  auto* ranks = reinterpret_cast<int16_t*>(scratch + TokenBlockBytes(params.width));
  const int last = (params.tokens - 1) / kBlockTokens * kBlockTokens;
  for (int step = 0; step <= last; step += kBlockTokens) {
    const int first = backwards ? last - step : step;
    const int tokens = params.tokens - first < kBlockTokens ? params.tokens - first : kBlockTokens;
    WidenTokens(input + first * params.width, params.width, tokens, params.width, block);
    if (params.rank == 0) {
      MultiplyBlock(block, tokens, params.width, params.units, weights.layer, store(first));
      continue;
    }
    MultiplyBlock(block, tokens, params.width, params.rank, weights.layer,
                  ToBlock{ranks, params.rank_zero_point});
    MultiplyBlock(ranks, tokens, params.rank, params.units, weights.second, store(first));
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
      int8_t* target = output + first * units;
      return [=](int token, int unit, int32_t sum, const auto& rescale) {
        target[token * units + unit] = table[rescale.template To<int8_t>(sum, zero_point)];
      };
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
