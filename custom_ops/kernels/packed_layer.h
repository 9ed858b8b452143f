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

inline int8_t Requantize(int32_t sum, const UnitConstants& unit, int32_t zero_point) {
  return Saturate<int8_t>(
      static_cast<int64_t>(MultiplyByQuantizedMultiplier(sum, unit.multiplier, unit.shift)) +
      zero_point);
}

// Calls store(token, unit, sum, constants) for each of the block's `tokens` tokens and each
// unit; the sum has the bias in.
template <typename Store>
inline void MultiplyBlock(const int16_t* block, int tokens, int width, int units,
                          const PackedLayer& layer, Store store) {
  const bool int4 = layer.weight_bits == 4;
  const int steps = RoundUp(width, StepOf(layer.weight_bits)) / StepOf(layer.weight_bits);
  int32_t offset[kBlockTokens] = {};
  if (int4) {
    for (int token = 0; token < tokens; ++token) {
      for (int i = 0; i < width; ++i) offset[token] -= block[BlockIndex(token, i)];
      offset[token] *= kInt4Offset;
    }
  }
  const int8_t* weights = layer.weights;
  for (int unit = 0; unit < units; unit += 2, weights += 8 * steps) {
    const UnitConstants* pair = layer.constants + unit;
    const int count = unit + 1 < units ? 2 : 1;
    int32_t sums[2 * kBlockTokens] = {};
    if (tokens == 1) {
      for (int i = 0; i < count; ++i) sums[i] = pair[i].bias + offset[0];
      (int4 ? McuformerDot1x2Int4 : McuformerDot1x2)(block, weights, steps, sums);
      for (int i = 0; i < count; ++i) store(0, unit + i, sums[i], pair[i]);
      continue;
    }
    for (int i = 0; i < count; ++i) {
      for (int token = 0; token < kBlockTokens; ++token) {
        sums[i * kBlockTokens + token] = pair[i].bias + offset[token];
      }
    }
    (int4 ? McuformerDot4x2Int4 : McuformerDot4x2)(block, weights, steps, sums);
    for (int i = 0; i < count; ++i) {
      for (int token = 0; token < tokens; ++token) {
        store(token, unit + i, sums[i * kBlockTokens + token], pair[i]);
      }
    }
  }
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_PACKED_LAYER_H_
