// Passes over four rows at once (cortex_m/rows.S). Token blocks are those of kernels/dot.h; a step
// has four values of each row, and there is at least one.
#ifndef MCUFORMER_KERNELS_CORTEX_M_ROWS_H_
#define MCUFORMER_KERNELS_CORTEX_M_ROWS_H_

#include <cstdint>

namespace mcuformer {

extern "C" {

// Widens four rows of int8, `stride` bytes apart, into a token block.
void McuformerWidenFour(const int8_t* rows, int stride, int steps, int16_t* block);

// Widens packed weights of 8 bits, as many steps of a pair of units: a step's words become the
// pairs (w0, w2) of both units, then their pairs (w1, w3).
void McuformerWidenWeights(const int8_t* weights, int steps, int8_t* widened);

// The greatest value of each row, in both halves of a word.
void McuformerGreatestOfFour(const int16_t* block, int steps, int32_t* greatest);

// Replaces the logits of two rows by exponentials. greatest: as above; the rows' sums take its
// place. table: int16[256], of distances to the greatest, none negative.
void McuformerExponentialsOfTwo(int16_t* rows, int steps, const int16_t* table, int32_t* greatest);

// Replaces each value x of the rows by (x * factor / 2^16 + 2^13) / 2^14, at most 2^15 - 1.
void McuformerProbabilitiesOfFour(int16_t* block, int steps, const int32_t* factors);

}  // extern "C"

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_ROWS_H_
