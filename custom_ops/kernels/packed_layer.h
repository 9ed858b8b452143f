// One layer's packed constants, and their product with token blocks.
#ifndef MCUFORMER_KERNELS_PACKED_LAYER_H_
#define MCUFORMER_KERNELS_PACKED_LAYER_H_

#include <cstdint>
#include <type_traits>

#include "kernels/cortex_m/helium.h"
#include "kernels/cortex_m/multiply.h"
#include "kernels/dot.h"
#include "kernels/dsp.h"
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

// Stores for MultiplyBlock: named, so that the code of each is there once. Those with MultiplyPairs
// have tuned code for four tokens and pairs of units from `unit` on (cortex_m/multiply.h); where it
// does not serve the first pair, they return its weights.

// int8 into rows, `stride` bytes apart.
struct ToRows {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    output[token * stride + unit] =
        static_cast<int8_t>(rescale.template To<int8_t>(sum, zero_point));
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int unit, const MultiplyCall& call) const {
    return McuformerMultiplyToRows(call, output + unit, zero_point, stride, 2 * stride, 2, 2);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return stride <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(stride, 1); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(output + unit, offsets, HeliumBytes(pair, zero_point), lanes);
  }
#endif
  int8_t* output;
  int stride;
  int32_t zero_point;
};

// int8 into another token block.
struct ToBlock {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    block[BlockIndex(token, unit, shape)] =
        static_cast<BlockValue>(rescale.template To<int8_t>(sum, zero_point));
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int unit, const MultiplyCall& call) const {
    return McuformerMultiplyToBlock(call, block + BlockIndex(0, unit, shape), zero_point, nullptr);
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return shape.Stride() <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(shape.Stride(), shape.Place(1)); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    vstrbq_scatter_offset_p_s16(block + shape.Place(unit), offsets, HeliumBytes(pair, zero_point),
                                lanes);
  }
#endif
  BlockValue* block;
  int32_t zero_point;
  BlockShape shape;
};

// The sum with a residual, into output[tokens, units].
template <typename T>
struct ToResidual {
  template <typename Rescale>
  void operator()(int token, int unit, int32_t sum, const Rescale& rescale) const {
    const int at = token * units + unit;
    output[at] = static_cast<T>(add.template To<T>(rescale(sum), residual[at], zero_point));
  }
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static constexpr bool kHasRoomForPair = false;
  const int8_t* MultiplyPairs(int unit, const MultiplyCall& call) const {
    if (!add.IsProduct()) return call.weights;
    const int stride = units * static_cast<int>(sizeof(T));
    if constexpr (sizeof(T) == 1) {
      return McuformerMultiplyToResidual8(call, output + unit, zero_point, stride, residual + unit,
                                          add.Factor(), add.Offset(), add.Multiplier());
    } else {
      return McuformerMultiplyToResidual16(call, output + unit, zero_point, stride, residual + unit,
                                           add.Factor(), add.Offset(), add.Multiplier());
    }
  }
#endif
#ifdef MCUFORMER_CORTEX_M_MVE
  bool ServesPairs() const { return add.IsProduct() && units <= kMostStride; }
  uint16x8_t Offsets() const { return PairOffsets(units, 1); }
  [[gnu::always_inline]] void StorePair(int unit, const HeliumPair& pair, uint16x8_t offsets,
                                        mve_pred16_t lanes) const {
    if constexpr (sizeof(T) == 1) {
      const int16x8_t found = vldrbq_gather_offset_z_s16(residual + unit, offsets, lanes);
      const HeliumPair summed = add.To(pair, {vmovlbq_s16(found), vmovltq_s16(found)});
      vstrbq_scatter_offset_p_s16(output + unit, offsets, HeliumBytes(summed, zero_point), lanes);
    } else {
      const int16x8_t found = vldrhq_gather_shifted_offset_z_s16(residual + unit, offsets, lanes);
      const HeliumPair summed = add.To(pair, {vmovlbq_s16(found), vmovltq_s16(found)});
      const HeliumPair moved = {vaddq_n_s32(summed.first, zero_point),
                                vaddq_n_s32(summed.second, zero_point)};
      vstrhq_scatter_shifted_offset_p_s16(output + unit, offsets, moved.Interleaved(), lanes);
    }
  }
#endif
  const T* residual;
  T* output;
  int units;
  ResidualAdd add;
  int32_t zero_point;
};

namespace packed_layer {

// Packed weights, as they are or widened by McuformerWidenWeights, of which a step of two units
// takes so many bytes, and the constants of their units, `next` apart: 0 where all share them. A
// store counts units from `first` on.
constexpr int kPackedStep = 8, kWidenedStep = 16;
struct Units {
  const int8_t* weights;
  const UnitConstants* constants;
  int next;
  int first;
  int step_bytes = kPackedStep;
};

// Whether weights of 8 bits are widened where they are staged (kernels/token_blocks.h).
#ifdef MCUFORMER_CORTEX_M_SMLAD
constexpr bool kWidens = true;

// McuformerDot1x2 of widened weights.
[[gnu::noinline]] inline void Dot1x2Widened(const int16_t* block, const int8_t* weights, int steps,
                                            int32_t* sums) {
  constexpr int kPairs = 2 * kBlockTokens;
  int32_t first = sums[0], second = sums[1];
  const int16_t* end = block + 2 * kPairs * steps;
#pragma GCC unroll 2
  for (; block != end; block += kPairs, weights += 2 * sizeof(int16x2_t)) {
    const int16x2_t pair = LoadWord(block);
    first = __smlad(pair, LoadWord(weights), first);
    second = __smlad(pair, LoadWord(weights + sizeof(int16x2_t)), second);
  }
  sums[0] = first;
  sums[1] = second;
}
#else
constexpr bool kWidens = false;
#endif

#ifndef MCUFORMER_CORTEX_M_MVE

// Not inlined anywhere below, where only 4-bit weights need it.
[[gnu::noinline]] inline void AddOffset(const int32_t* offset, int32_t* sums) {
  for (int i = 0; i < 2 * kBlockTokens; ++i) sums[i] += offset[i % kBlockTokens];
}

// Four tokens.
template <typename Store>
[[gnu::noinline]] void MultiplyFour(const BlockValue* block, int steps, int units,
                                    const Units& layer, const int32_t* offset, const Store& store) {
  const int8_t* weights = layer.weights;
  const UnitConstants* constants = layer.constants;
  const int next = layer.next;
  const auto dot = kHasInt4 && offset != nullptr ? McuformerDot4x2Int4 : McuformerDot4x2;
  const auto store_unit = [&store](int unit, int32_t* sums, const UnitConstants& constant) {
    const int32_t multiplier = constant.multiplier, shift = constant.shift;
    if (RescaleDown::Serves(multiplier, shift)) {
      const RescaleDown rescale(multiplier, shift);
#pragma GCC unroll 4
      for (int token = 0; token < kBlockTokens; ++token) store(token, unit, sums[token], rescale);
    } else {
      const AnyRescale rescale(multiplier, shift);
#pragma GCC unroll 1
      for (int token = 0; token < kBlockTokens; ++token) store(token, unit, sums[token], rescale);
    }
  };
  const int end = layer.first + units;
  for (int unit = layer.first; unit < end; unit += 2) {
    const bool both = unit + 1 < end;
    const UnitConstants* second = both ? constants + next : constants;
    int32_t sums[2 * kBlockTokens];
#pragma GCC unroll 4
    for (int i = 0; i < kBlockTokens; ++i) {
      sums[i] = constants->bias;
      sums[kBlockTokens + i] = second->bias;
    }
    if (kHasInt4 && offset != nullptr) AddOffset(offset, sums);
    dot(block, weights, steps, sums);
    store_unit(unit, sums, *constants);
    if (both) store_unit(unit + 1, sums + kBlockTokens, *second);
    weights += 8 * steps;
    constants += 2 * next;
  }
}

// One token of a block.
template <typename Store>
[[gnu::noinline]] void MultiplyOne(const BlockValue* block, int token, int steps, int units,
                                   const Units& layer, const int32_t* offsets, const Store& store) {
  const bool int4 = kHasInt4 && offsets != nullptr;
  auto dot = int4 ? McuformerDot1x2Int4 : McuformerDot1x2;
#ifdef MCUFORMER_CORTEX_M_SMLAD
  if (layer.step_bytes == kWidenedStep) dot = Dot1x2Widened;
#endif
  const int32_t offset = int4 ? offsets[token] : 0;
  const int pair_bytes = layer.step_bytes * steps;
  const int8_t* weights = layer.weights;
  const UnitConstants* constants = layer.constants;
  const BlockValue* row =
      block + BlockIndex(token, 0, {steps * (int4 ? kStepOfInt4 : kStepOfInt8), 8});
  for (int unit = 0; unit < units; unit += 2, weights += pair_bytes) {
    int32_t sums[2] = {offset, offset};
    dot(row, weights, steps, sums);
    for (int i = 0; i < 2 && unit + i < units; ++i, constants += layer.next) {
      WithRescale(*constants, [&](const auto& rescale) {
        store(token, layer.first + unit + i, sums[i] + constants->bias, rescale);
      });
    }
  }
}

#ifdef MCUFORMER_CORTEX_M_SMLAD

template <typename Store, typename = void>
struct HasTunedCode : std::false_type {};
template <typename Store>
struct HasTunedCode<Store, std::void_t<decltype(&Store::MultiplyPairs)>> : std::true_type {};

inline const InnerLoop4x2& InnerLoopOf(bool int4, bool widened, [[maybe_unused]] int steps) {
  if (kHasInt4 && int4) return McuformerInt4;
#ifdef MCUFORMER_CORTEX_M7
  if (steps >= kLongSteps) return widened ? McuformerLongWidened : McuformerLongInt8;
#endif
  return widened ? McuformerWidened : McuformerInt8;
}

// The same as MultiplyFour by the store's tuned code. Pairs that it does not serve go token by
// token, and so does a last unit alone, unless the store has room for the one that is missing.
template <typename Store>
[[gnu::noinline]] void MultiplyPairs(const int16_t* block, int steps, int units, const Units& layer,
                                     const int32_t* offsets, const Store& store) {
  const bool int4 = kHasInt4 && offsets != nullptr;
  const InnerLoop4x2& loop = InnerLoopOf(int4, layer.step_bytes == kWidenedStep, steps);
  const int step = int4 ? kStepOfInt4 : kStepOfInt8;
  const int pair_bytes = layer.step_bytes * steps;
  const int8_t* end = layer.weights + (units + Store::kHasRoomForPair) / 2u * pair_bytes;
  Units rest = layer;
  const auto pass = [&](int pairs) {
    rest.weights += pairs * pair_bytes;
    rest.constants += 2 * pairs * rest.next;
    rest.first += 2 * pairs;
    units -= 2 * pairs;
  };
  while (units > 0) {
    if (rest.weights != end) {
      const int8_t* stopped = store.MultiplyPairs(
          rest.first,
          {loop.first, loop.Next(steps), block, block + (steps - loop.behind) * step * kBlockTokens,
           rest.weights, end, rest.constants,
           2 * rest.next * static_cast<int>(sizeof(UnitConstants)), offsets});
      if (stopped == nullptr && !(units & 1)) return;
      const int8_t* reached = stopped == nullptr ? end : stopped;
      const auto pairs = static_cast<int>((reached - rest.weights) / pair_bytes);
      pass(stopped == nullptr || pairs == 0 ? pairs : pairs - 1);
      if (units <= 0) return;
    }
    for (int token = 0; token < kBlockTokens; ++token) {
      MultiplyOne(block, token, steps, units < 2 ? units : 2, rest, offsets, store);
    }
    pass(1);
  }
}

#endif

#else

template <typename Store, typename = void>
struct StoresPairs : std::false_type {};
template <typename Store>
struct StoresPairs<Store, std::void_t<decltype(&Store::StorePair)>> : std::true_type {};

// Up to four rows by pairs of units, whose weights lie as `dot` takes them, `pair_bytes` each, for
// a store that takes sums one by one.
template <typename Store>
[[gnu::noinline]] void StoreEach(const HeliumCall& call, const int32_t* start, HeliumDot dot,
                                 int rows, int units, const Units& layer, const Store& store) {
  const int8_t* weights = layer.weights;
  const UnitConstants* constants = layer.constants;
  for (int unit = 0; unit < units; unit += 2) {
    const HeliumPair pair = HeliumProducts(call, start, dot, weights);
    int32_t sums[2 * kBlockTokens];
    vstrwq_s32(sums, pair.first);
    vstrwq_s32(sums + kBlockTokens, pair.second);
    for (int i = 0; i < 2 && unit + i < units; ++i, constants += layer.next) {
      WithRescale(*constants, [&](const auto& rescale) {
        for (int row = 0; row < rows; ++row) {
          store(row, layer.first + unit + i, sums[i * kBlockTokens + row] + constants->bias,
                rescale);
        }
      });
    }
  }
}

// The same for a store of pairs.
template <typename Store>
[[gnu::noinline]] void StorePairs(const HeliumCall& call, const int32_t* start, HeliumDot dot,
                                  int rows, int units, const Units& layer, const Store& of_pairs) {
  const Store store = of_pairs;  // a copy, which no store of int8 may change
  const auto offsets = store.Offsets();
  const int8_t* weights = layer.weights;
  const auto multiply = [&](int unit, const UnitConstants& first, const UnitConstants& second,
                            mve_pred16_t lanes) __attribute__((always_inline)) {
    HeliumPair pair = HeliumProducts(call, start, dot, weights);
    pair = {vaddq_n_s32(pair.first, first.bias), vaddq_n_s32(pair.second, second.bias)};
    if (__builtin_expect((first.shift & second.shift) < 0, 1)) {
      pair = {RescaledDown(pair.first, first.multiplier, first.shift),
              RescaledDown(pair.second, second.multiplier, second.shift)};
    } else {
      pair = {Rescaled(pair.first, first.multiplier, first.shift),
              Rescaled(pair.second, second.multiplier, second.shift)};
    }
    store.StorePair(unit, pair, offsets, lanes);
  };
  const mve_pred16_t lanes = HeliumLanes(rows, true);
  const UnitConstants* constants = layer.constants;
  int unit = layer.first;
  const int last = layer.first + units - 1;
  for (; unit < last; unit += 2, constants += 2) multiply(unit, constants[0], constants[1], lanes);
  if (unit == last) multiply(unit, constants[0], constants[0], HeliumLanes(rows, false));
}

// The same where all units share their constants, without a bias.
template <typename Store>
[[gnu::noinline]] void StoreSharing(const HeliumCall& call, const int32_t* start, HeliumDot dot,
                                    int rows, int units, const Units& layer,
                                    const Store& of_pairs) {
  const Store store = of_pairs;
  const auto offsets = store.Offsets();
  const int8_t* weights = layer.weights;
  const int32_t multiplier = layer.constants->multiplier, shift = layer.constants->shift;
  const auto pass = [&](const auto& rescaled) __attribute__((always_inline)) {
    const mve_pred16_t lanes = HeliumLanes(rows, true);
    int unit = 0;
    for (; unit + 1 < units; unit += 2) {
      const HeliumPair pair = HeliumProducts(call, start, dot, weights);
      store.StorePair(unit, {rescaled(pair.first), rescaled(pair.second)}, offsets, lanes);
    }
    if (unit == units) return;
    const HeliumPair pair = HeliumProducts(call, start, dot, weights);
    store.StorePair(unit, {rescaled(pair.first), rescaled(pair.second)}, offsets,
                    HeliumLanes(rows, false));
  };
  if (shift < 0) {
    pass([=](int32x4_t sums)
             __attribute__((always_inline)) { return RescaledDown(sums, multiplier, shift); });
  } else {
    pass([=](int32x4_t sums) { return Rescaled(sums, multiplier, shift); });
  }
}

template <typename Store>
inline void MultiplyRowPairs(const HeliumCall& call, const int32_t* start, HeliumDot dot, int rows,
                             int units, const Units& layer, const Store& store) {
  if constexpr (StoresPairs<Store>::value) {
    if (store.ServesPairs()) {
      if (layer.next == 0) return StoreSharing(call, start, dot, rows, units, layer, store);
      return StorePairs(call, start, dot, rows, units, layer, store);
    }
  }
  StoreEach(call, start, dot, rows, units, layer, store);
}

constexpr int32_t kNoSums[2 * kBlockTokens] = {};

// Rows of `stride` bytes, of which those that are missing repeat the last.
inline HeliumCall HeliumCallOf(const void* rows, int count, int stride, int steps, int tail) {
  HeliumCall call = {{}, steps, tail};
  const auto* row = static_cast<const int8_t*>(rows);
  for (int i = 0; i < kBlockTokens; ++i) {
    call.rows[i] = row;
    if (i + 1 < count) row += stride;
  }
  return call;
}

// The same for a token block and packed weights.
template <typename Store>
inline void MultiplyPairs(const BlockValue* block, int tokens, int width, int units,
                          const Units& layer, const int32_t* offsets, const Store& store) {
  const bool int4 = kHasInt4 && offsets != nullptr;
  const int step = int4 ? kStepOfInt4 : kStepOfInt8;
  const int steps = RoundUp(width, step) / step;
  HeliumCall call =
      HeliumCallOf(block, tokens, RowStride(width), steps / kWordsOfVector, steps % kWordsOfVector);
  int32_t start[2 * kBlockTokens];
  if (int4) {
    vstrwq_s32(start, vldrwq_s32(offsets));
    vstrwq_s32(start + kBlockTokens, vldrwq_s32(offsets));
  }
  MultiplyRowPairs(call, int4 ? start : kNoSums, HeliumDotOf(call, int4), tokens, units, layer,
                   store);
}

#endif

// What 4-bit weights add to the sums of each of the block's tokens.
inline void Int4Offsets(const BlockValue* block, int tokens, int width, int32_t* offset) {
  for (int token = 0; token < tokens; ++token) {
    offset[token] = -kInt4Offset * SumToken(block + BlockIndex(token, 0, {width, 4}), width);
  }
}

// offset: of 4-bit weights, else null.
template <typename Store>
inline void Multiply(const BlockValue* block, int tokens, int width, int units, const Units& layer,
                     const int32_t* offset, const Store& store) {
#ifdef MCUFORMER_CORTEX_M_MVE
  MultiplyPairs(block, tokens, width, units, layer, offset, store);
#else
  const bool int4 = kHasInt4 && offset != nullptr;
  const int step = int4 ? kStepOfInt4 : kStepOfInt8;
  const int steps = RoundUp(width, step) / step;
  if (tokens == kBlockTokens) {
#ifdef MCUFORMER_CORTEX_M_SMLAD
    if constexpr (HasTunedCode<Store>::value) {
      MultiplyPairs(block, steps, units, layer, offset, store);
      return;
    }
#endif
    MultiplyFour(block, steps, units, layer, offset, store);
    return;
  }
  for (int token = 0; token < tokens; ++token) {
    MultiplyOne(block, token, steps, units, layer, offset, store);
  }
#endif
}

}  // namespace packed_layer

// Calls store(token, unit, sum, rescale) for each of the block's `tokens` tokens and each unit.
// The sum has the bias in; rescale is an AnyRescale or a RescaleDown of the unit's constants.
template <typename Store>
inline void MultiplyBlock(const BlockValue* block, int tokens, int width, int units,
                          const PackedLayer& layer, Store store) {
  const bool int4 = kHasInt4 && layer.weight_bits == 4;
  int32_t offset[kBlockTokens];
  if (int4) packed_layer::Int4Offsets(block, tokens, width, offset);
  packed_layer::Multiply(block, tokens, width, units, {layer.weights, layer.constants, 1, 0},
                         int4 ? offset : nullptr, store);
}

// The same for packed weights of 8 bits whose units share their constants.
template <typename Store>
inline void MultiplyBlock(const BlockValue* block, int tokens, int width, int units,
                          const int8_t* weights, const UnitConstants& constants, Store store) {
  const UnitConstants of_both[2] = {constants, constants};
  packed_layer::Multiply(block, tokens, width, units, {weights, of_both, 0, 0}, nullptr, store);
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_PACKED_LAYER_H_
