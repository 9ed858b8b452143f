// The inner loop of every matrix product: four tokens by two units. Twin of the layouts:
// custom_ops/reference/dot.py.
#ifndef MCUFORMER_KERNELS_DOT_H_
#define MCUFORMER_KERNELS_DOT_H_

#include <cstddef>
#include <cstdint>

namespace mcuformer {

constexpr int kBlockTokens = 4;
// Values that one step of the loop takes of each row, by the bits of a weight.
constexpr int kStepOfInt8 = 4;
constexpr int kStepOfInt4 = 8;
// Weights of 4 bits are held as unsigned nibbles, this much above their value.
constexpr int kInt4Offset = 8;

// A program whose weights all have 8 bits may leave the code for 4 bits out.
#ifdef MCUFORMER_INT8_WEIGHTS_ONLY
constexpr bool kHasInt4 = false;
#else
constexpr bool kHasInt4 = true;
#endif

constexpr int RoundUp(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr int StepOf(int weight_bits) { return weight_bits == 4 ? kStepOfInt4 : kStepOfInt8; }

// A token block holds four rows of values at 16 bits, for each step of four values the pairs
// (x0, x2) of the four tokens and then their pairs (x1, x3): what SXTB16 makes of four bytes,
// and four 32-bit products of PMADDWD. Values beyond the width and tokens that are missing may
// be anything, such as what an earlier user of the scratch left: nothing clears them, since packed
// weights are zero there and SumToken leaves them out.
constexpr size_t TokenBlockBytes(int width) {
  return sizeof(int16_t) * kBlockTokens * RoundUp(width, kStepOfInt4);
}
[[gnu::always_inline]] constexpr int BlockIndex(int token, int value) {
  return (value & ~3) * kBlockTokens + (value & 1) * 2 * kBlockTokens + token * 2 +
         ((value >> 1) & 1);
}

// Packed weights of 8 bits: [units / 2][width / 4][2 units][4 values]. Of 4 bits:
// [units / 2][width / 8][2 units][4 bytes], the bytes w0 w1, w4 w5, w2 w3, w6 w7, low nibble
// first. Both rounded up; padding is zero bytes, also where the kernels pack.
constexpr size_t PackedWeightBytes(int units, int width, int weight_bits) {
  return static_cast<size_t>(RoundUp(units, 2)) * (RoundUp(width, StepOf(weight_bits)) / 4) *
         (weight_bits == 4 ? 2 : 4);
}
[[gnu::always_inline]] constexpr int PackedWeightIndex(int unit, int value, int width) {
  return ((unit >> 1) * (RoundUp(width, kStepOfInt8) / 4) + (value >> 2)) * 8 + (unit & 1) * 4 +
         (value & 3);
}

extern "C" {

// sums[unit * 4 + token] += products of `steps` steps of a token block and two units' weights.
// Every sum must fit 32 bits. block and weights: 4-byte aligned.
void McuformerDot4x2(const int16_t* block, const int8_t* weights, int steps, int32_t* sums);
// The same for the token at block + 2 * token alone: sums[unit].
void McuformerDot1x2(const int16_t* block, const int8_t* weights, int steps, int32_t* sums);
// The same for weights of 4 bits, taken as nibbles 0 to 15; steps of eight values.
void McuformerDot4x2Int4(const int16_t* block, const int8_t* weights, int steps, int32_t* sums);
void McuformerDot1x2Int4(const int16_t* block, const int8_t* weights, int steps, int32_t* sums);

}  // extern "C"

// Widens up to four rows of int8, `stride` bytes apart, into a token block.
void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int16_t* block);

// Widens `steps` steps of four values of one row; block: where the token's first value belongs.
void WidenToken(const int8_t* row, int steps, int16_t* block);

// The sum of one token's values; pairs: block + 2 * token.
int32_t SumToken(const int16_t* pairs, int width);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_DOT_H_
