// The inner loop of every matrix product: four tokens by two units. Twin of the layouts:
// custom_ops/reference/dot.py.
#ifndef MCUFORMER_KERNELS_DOT_H_
#define MCUFORMER_KERNELS_DOT_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cortex_m/target.h"

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
//
// With Helium it holds the rows one behind the other, as bytes: RowStride of them each. Where the
// weights that they meet have 4 bits, each eight values lie in the order of bits that are reversed:
// x0, x4, x2, x6, of which low nibbles are the weights, x1, x5, x3, x7.
constexpr size_t TokenBlockBytes(int width) {
  return sizeof(int16_t) * kBlockTokens * RoundUp(width, kStepOfInt4);
}

#ifdef MCUFORMER_CORTEX_M_MVE

using BlockValue = int8_t;

constexpr int RowStride(int width) { return RoundUp(width, kStepOfInt4); }

// How values lie in blocks of that width that meet weights of so many bits.
class BlockShape {
 public:
  constexpr BlockShape(int width, int weight_bits)
      : stride_(RowStride(width)), reverses_(weight_bits == 4) {}

  constexpr int Stride() const { return stride_; }
  constexpr bool Reverses() const { return reverses_; }
  // Where a row's value lies.
  constexpr int Place(int value) const {
    return reverses_ ? (value & ~5) | (value & 1) << 2 | (value >> 2 & 1) : value;
  }

 private:
  int stride_;
  bool reverses_;
};
[[gnu::always_inline]] constexpr int BlockIndex(int token, int value, const BlockShape& shape) {
  return token * shape.Stride() + shape.Place(value);
}

#else

using BlockValue = int16_t;

struct BlockShape {
  constexpr BlockShape(int, int) {}
};
[[gnu::always_inline]] constexpr int BlockIndex(int token, int value, const BlockShape&) {
  return (value & ~3) * kBlockTokens + (value & 1) * 2 * kBlockTokens + token * 2 +
         ((value >> 1) & 1);
}

#endif

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
void McuformerDot4x2(const BlockValue* block, const int8_t* weights, int steps, int32_t* sums);
// The same for weights of 4 bits, taken as nibbles 0 to 15; steps of eight values.
void McuformerDot4x2Int4(const BlockValue* block, const int8_t* weights, int steps, int32_t* sums);
#ifndef MCUFORMER_CORTEX_M_MVE  // with it four tokens cost no more
// The same for one token, which begins at `block`, alone: sums[unit].
void McuformerDot1x2(const BlockValue* block, const int8_t* weights, int steps, int32_t* sums);
void McuformerDot1x2Int4(const BlockValue* block, const int8_t* weights, int steps, int32_t* sums);
#endif

}  // extern "C"

// Widens up to four rows of int8, `stride` bytes apart, into a token block of that shape.
#ifdef MCUFORMER_CORTEX_M_MVE
void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int8_t* block,
                 int block_stride, bool reverses);
inline void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int8_t* block,
                        const BlockShape& shape) {
  WidenTokens(rows, stride, tokens, width, block, shape.Stride(), shape.Reverses());
}
#else
void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int16_t* block);
inline void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int16_t* block,
                        const BlockShape&) {
  WidenTokens(rows, stride, tokens, width, block);
}
#endif

// Widens `steps` steps of four values of one row, for weights of 8 bits; block: where the token's
// first value belongs.
void WidenToken(const int8_t* row, int steps, BlockValue* block);

// The sum of one token's values in a block that meets weights of 4 bits; row: where it begins.
int32_t SumToken(const BlockValue* row, int width);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_DOT_H_
