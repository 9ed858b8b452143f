// A layer's product with several token blocks, one behind the other, that reads the layer once:
// the weights of a few units are staged in scratch and serve all blocks, since flash outside the
// chip is slower than SRAM by far. Where there is tuned code, weights of 8 bits are widened on the
// way, once for all blocks. Twin of the sizes: custom_ops/reference/token_blocks.py.
#ifndef MCUFORMER_KERNELS_TOKEN_BLOCKS_H_
#define MCUFORMER_KERNELS_TOKEN_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cortex_m/rows.h"
#include "kernels/packed_layer.h"

namespace mcuformer {

// Units that are staged together, half as many where they are widened: more of them share the cost
// of a call, and take more scratch.
constexpr int kStagedUnits = 16;

// How many of its tokens an operator holds as blocks at once: `block_tokens`, a multiple of
// kBlockTokens, or as many as there are.
constexpr int TokensAtOnce(int tokens, int block_tokens) {
  const int all = RoundUp(tokens, kBlockTokens);
  return block_tokens < all ? block_tokens : all;
}

// Of blocks that hold so many tokens.
constexpr size_t TokenBlocksBytes(int tokens, int width) {
  return TokenBlockBytes(width) * (RoundUp(tokens, kBlockTokens) / kBlockTokens);
}

// The block that holds token `first`, a multiple of kBlockTokens.
template <typename T>
constexpr T* TokenBlockAt(T* blocks, int first, int width) {
  return blocks + TokenBlocksBytes(first, width) / sizeof(T);
}

// For layers of up to that width: staged weights, their constants, and what 4-bit weights add to
// the sums of each token. A single block stages nothing.
constexpr size_t StageBytes(int tokens_at_once, int width) {
  return tokens_at_once <= kBlockTokens
             ? 0
             : PackedWeightBytes(kStagedUnits, width, 8) + kStagedUnits * sizeof(UnitConstants) +
                   sizeof(int32_t) * tokens_at_once;
}

// Widens rows of int8, `stride` bytes apart, into token blocks that meet weights of so many bits.
inline void WidenTokenBlocks(const int8_t* rows, int stride, int tokens, int width, int weight_bits,
                             BlockValue* blocks) {
  for (int first = 0; first < tokens; first += kBlockTokens) {
    const int count = tokens - first < kBlockTokens ? tokens - first : kBlockTokens;
    WidenTokens(rows + first * stride, stride, count, width, TokenBlockAt(blocks, first, width),
                {width, weight_bits});
  }
}

namespace packed_layer {

// Copies aligned words, eight at a time: newlib's memcpy for small programs goes byte by byte.
[[gnu::noinline]] inline void CopyWords(const void* from, size_t bytes, void* to) {
  constexpr size_t kWord = sizeof(int32_t), kWords = 8 * kWord;
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  const char* end = source + bytes / kWords * kWords;
  for (; source != end; source += kWords, target += kWords) {
    std::memcpy(__builtin_assume_aligned(target, kWord), __builtin_assume_aligned(source, kWord),
                kWords);
  }
  for (end += bytes % kWords; source != end; source += kWord, target += kWord) {
    std::memcpy(__builtin_assume_aligned(target, kWord), __builtin_assume_aligned(source, kWord),
                kWord);
  }
}

// Copies the layer's units from `first` on, and widens their weights or does not; up to
// kStagedUnits, or half of them.
[[gnu::noinline]] inline Units StageUnits(const PackedLayer& layer, int width, int first, int units,
                                          bool widens, int8_t* stage) {
  const size_t bytes = PackedWeightBytes(units, width, layer.weight_bits);
  const int8_t* weights = layer.weights + PackedWeightBytes(first, width, layer.weight_bits);
  auto* constants = stage + PackedWeightBytes(kStagedUnits, width, 8);
#ifdef MCUFORMER_CORTEX_M_SMLAD
  if (widens) {
    McuformerWidenWeights(weights, static_cast<int>(bytes / 8), stage);
  } else {
    CopyWords(weights, bytes, stage);
  }
#else
  CopyWords(weights, bytes, stage);
#endif
  CopyWords(layer.constants + first, units * sizeof(UnitConstants), constants);
  return {stage, reinterpret_cast<const UnitConstants*>(constants), 1, first,
          widens ? kWidenedStep : kPackedStep};
}

// Int4Offsets of all tokens of the blocks.
[[gnu::noinline]] inline void OffsetsOfBlocks(const BlockValue* blocks, int tokens, int width,
                                              int32_t* offsets) {
  for (int first = 0; first < tokens; first += kBlockTokens) {
    const int rows = tokens - first < kBlockTokens ? tokens - first : kBlockTokens;
    Int4Offsets(TokenBlockAt(blocks, first, width), rows, width, offsets + first);
  }
}

// Multiply, once for each kind of store.
template <typename Store>
[[gnu::noinline]] void MultiplyRows(const BlockValue* block, int tokens, int width, int units,
                                    const Units& layer, const int32_t* offset, const Store& store) {
#ifdef MCUFORMER_CORTEX_M_SMLAD
  static_assert(HasTunedCode<Store>::value, "MultiplyFour takes no widened weights");
#endif
  Multiply(block, tokens, width, units, layer, offset, store);
}

}  // namespace packed_layer

// MultiplyBlock for all tokens of the blocks: store_at(first) gives the store that counts tokens
// from `first` on. stage: StageBytes, 4-byte aligned.
template <typename StoreAt>
inline void MultiplyTokenBlocks(const BlockValue* blocks, int tokens, int width, int units,
                                const PackedLayer& layer, int8_t* stage, StoreAt store_at) {
  const bool int4 = kHasInt4 && layer.weight_bits == 4;
  const packed_layer::Units all = {layer.weights, layer.constants, 1, 0};
  if (tokens <= kBlockTokens) {
    int32_t offsets[kBlockTokens];
    if (int4) packed_layer::OffsetsOfBlocks(blocks, tokens, width, offsets);
    packed_layer::MultiplyRows(blocks, tokens, width, units, all, int4 ? offsets : nullptr,
                               store_at(0));
    return;
  }
  auto* offsets = reinterpret_cast<int32_t*>(stage + PackedWeightBytes(kStagedUnits, width, 8) +
                                             kStagedUnits * sizeof(UnitConstants));
  if (int4) packed_layer::OffsetsOfBlocks(blocks, tokens, width, offsets);
  const bool widens = packed_layer::kWidens && !int4;
  const int staged = widens ? kStagedUnits / 2 : kStagedUnits;
  for (int unit = 0; unit < units; unit += staged) {
    const int count = units - unit < staged ? units - unit : staged;
    const packed_layer::Units part =
        packed_layer::StageUnits(layer, width, unit, count, widens, stage);
    for (int first = 0; first < tokens; first += kBlockTokens) {
      const int rows = tokens - first < kBlockTokens ? tokens - first : kBlockTokens;
      packed_layer::MultiplyRows(TokenBlockAt(blocks, first, width), rows, width, count, part,
                                 int4 ? offsets + first : nullptr, store_at(first));
    }
  }
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_TOKEN_BLOCKS_H_
