// One layer's packed constants, and their product with a token block.
#ifndef MCUFORMER_KERNELS_PACKED_LAYER_H_
#define MCUFORMER_KERNELS_PACKED_LAYER_H_

#include <cstdint>

#include "kernels/dot.h"
#include "kernels/fixed_point.h"

namespace mcuformer {

// Of one output channel. bias has -input zero point * sum(weights) folded in; shift lies in
// [-31, 31].
struct UnitConstants {
  int32_t bias;
  int32_t multiplier;
  int32_t shift;
};

struct PackedLayer {
  const int8_t* weights;           // as in kernels/dot.h
  const UnitConstants* constants;  // [units]
  int weight_bits;                 // 8 or 4
};

// Calls use(rescale) with a RescaleDown of the unit's constants where one serves, or AnyRescale.
template <typename Use>
inline void WithRescale(const UnitConstants& unit, Use use) {
  const int32_t multiplier = unit.multiplier, shift = unit.shift;
  if (RescaleDown::Serves(multiplier, shift)) {
    use(RescaleDown(multiplier, shift));
  } else {
    use(AnyRescale(multiplier, shift));
  }
}

// Stores for MultiplyBlock: named, so that the code of each is there once.

// int8 into another token block.
struct ToBlock {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    block[BlockIndex(token, unit)] =
        static_cast<int16_t>(rescale.template To<int8_t>(sum, zero_point));
  }
  int16_t* block;
  int32_t zero_point;
};

// The sum with a residual, into output[tokens, units].
template <typename T>
struct ToResidual {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    const int at = token * units + unit;
    output[at] = static_cast<T>(add.template To<T>(rescale(sum), residual[at], zero_point));
  }
  const T* residual;
  T* output;
  int units;
  ResidualAdd add;
  int32_t zero_point;
};

namespace packed_layer {

// Packed weights and the constants of their units, `next` apart: 0 where all share them.
struct Units {
  const int8_t* weights;
  const UnitConstants* constants;
  int next;
};

// Four tokens; offset is what 4-bit weights held as nibbles add to the sum of each.
template <bool kInt4, typename Store>
[[gnu::noinline]] void MultiplyFour(const int16_t* block, int steps, int units, const Units& layer,
                                    const int32_t* offset, Store store) {
  const int8_t* weights = layer.weights;
  const UnitConstants* constants = layer.constants;
  const int next = layer.next;
  const auto store_unit = [&store](int unit, const int32_t* sums, const UnitConstants& constant) {
    WithRescale(constant, [&](const auto& rescale) {
#pragma GCC unroll 4
      for (int token = 0; token < kBlockTokens; ++token) store(token, unit, sums[token], rescale);
    });
  };
  for (int unit = 0; unit < units; unit += 2) {
    const bool both = unit + 1 < units;
    const UnitConstants* second = both ? constants + next : constants;
    const int32_t bias[2] = {constants->bias, second->bias};
    int32_t sums[2 * kBlockTokens];
    for (int i = 0; i < 2 * kBlockTokens; ++i) {
      sums[i] = bias[i / kBlockTokens] + (kInt4 ? offset[i % kBlockTokens] : 0);
    }
    (kInt4 ? McuformerDot4x2Int4 : McuformerDot4x2)(block, weights, steps, sums);
    store_unit(unit, sums, *constants);
    if (both) store_unit(unit + 1, sums + kBlockTokens, *second);
    weights += 8 * steps;
    constants += 2 * next;
  }
}

// One token of a block.
template <bool kInt4, typename Store>
[[gnu::noinline]] void MultiplyOne(const int16_t* block, int token, int steps, int units,
                                   const Units& layer, int32_t offset, Store store) {
  const int8_t* weights = layer.weights;
  for (int unit = 0; unit < units; unit += 2, weights += 8 * steps) {
    int32_t sums[2] = {offset, offset};
    (kInt4 ? McuformerDot1x2Int4 : McuformerDot1x2)(block + 2 * token, weights, steps, sums);
    for (int i = 0; i < 2 && unit + i < units; ++i) {
      const UnitConstants& constants = layer.constants[(unit + i) * layer.next];
      store(token, unit + i, sums[i] + constants.bias,
            AnyRescale(constants.multiplier, constants.shift));
    }
  }
}

template <bool kInt4, typename Store>
inline void Multiply(const int16_t* block, int tokens, int width, int units, const Units& layer,
                     const int32_t* offset, Store store) {
  constexpr int kStep = kInt4 ? kStepOfInt4 : kStepOfInt8;
  const int steps = RoundUp(width, kStep) / kStep;
  if (tokens == kBlockTokens) {
    MultiplyFour<kInt4>(block, steps, units, layer, offset, store);
    return;
  }
  for (int token = 0; token < tokens; ++token) {
    MultiplyOne<kInt4>(block, token, steps, units, layer, offset[token], store);
  }
}

}  // namespace packed_layer

// Calls store(token, unit, sum, rescale) for each of the block's `tokens` tokens and each unit.
// The sum has the bias in; rescale is an AnyRescale or a RescaleDown of the unit's constants.
template <typename Store>
inline void MultiplyBlock(const int16_t* block, int tokens, int width, int units,
                          const PackedLayer& layer, Store store) {
  const packed_layer::Units all = {layer.weights, layer.constants, 1};
  int32_t offset[kBlockTokens] = {};
  if (layer.weight_bits == 4) {
    SumTokens(block, width, offset);
    for (int32_t& sum : offset) sum *= -kInt4Offset;
    packed_layer::Multiply<true>(block, tokens, width, units, all, offset, store);
  } else {
    packed_layer::Multiply<false>(block, tokens, width, units, all, offset, store);
  }
}

// The same for packed weights of 8 bits whose units share their constants.
template <typename Store>
inline void MultiplyBlock(const int16_t* block, int tokens, int width, int units,
                          const int8_t* weights, const UnitConstants& constants, Store store) {
  const int32_t offset[kBlockTokens] = {};
  packed_layer::Multiply<false>(block, tokens, width, units, {weights, &constants, 0}, offset,
                                store);
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_PACKED_LAYER_H_
