// The loops of cortex_m/multiply.S: four tokens by pairs of units, rescaled and stored.
#ifndef MCUFORMER_KERNELS_CORTEX_M_MULTIPLY_H_
#define MCUFORMER_KERNELS_CORTEX_M_MULTIPLY_H_

#include <cstdint>

#include "kernels/cortex_m/target.h"

namespace mcuformer {

// An inner loop over steps: where the first step of a pair starts its sums, and the loop of the
// others, `unroll` of them, a power of two, of `step_bytes` each; `behind` steps more follow it.
struct InnerLoop4x2 {
  const void* first;
  const char* next;
  int step_bytes;
  int unroll;
  int behind;

  // Where the loop goes on behind the first of so many steps; null where there is one alone.
  [[gnu::always_inline]] const void* Next(int steps) const {
    return steps == 1 ? nullptr : next + ((1 + behind - steps) & (unroll - 1)) * step_bytes;
  }
};

// McuformerWidened: of weights that McuformerWidenWeights has widened.
extern "C" const InnerLoop4x2 McuformerInt8, McuformerInt4, McuformerWidened;
#ifdef MCUFORMER_CORTEX_M7
// For rows of kLongSteps or more: more instructions a step, and fewer cycles on an M7.
extern "C" const InnerLoop4x2 McuformerLongInt8, McuformerLongWidened;
constexpr int kLongSteps = 48;
#endif

// What each function takes.
struct MultiplyCall {
  const void* first_step;
  const void* next_step;
  const int16_t* tokens;      // a token block
  const int16_t* tokens_end;  // where the loop ends
  const int8_t* weights;      // whole pairs of units, up to weights_end
  const int8_t* weights_end;
  const void* constants;   // UnitConstants of a pair's two units
  int constants_step;      // bytes to the next pair's; 0 where all share them
  const int32_t* offsets;  // what 4-bit weights add to the sums of each token; null for 8 bits
};

// Each returns null, or the end of the weights of the first pair that is not done, since
// RescaleDown does not serve its constants.
extern "C" {

// int8 into rows: tokens 1 and 3 lie to_token bytes behind 0 and 2, these to_half apart; a pair's
// units lie side by side, the next pair `advance` bytes on, the one behind it `then`, in turn.
const int8_t* McuformerMultiplyToRows(MultiplyCall call, int8_t* output, int32_t zero_point,
                                      int to_token, int to_half, int advance, int then);
// The same, looked up in a table, from its entry of 0.
const int8_t* McuformerMultiplyToRowsByTable(MultiplyCall call, int8_t* output, int32_t zero_point,
                                             int to_token, int to_half, int advance, int then,
                                             const int8_t* table);

// int8 into packed weights of which a token is a column, in the order of logits: tokens 1 and 2 of
// four change places. Pairs of units lie to_pair bytes apart.
const int8_t* McuformerMultiplyToColumns(MultiplyCall call, int8_t* output, int32_t zero_point,
                                         int to_pair);

// int8 into another token block, looked up in a table (from its entry of 0) or as it is.
const int8_t* McuformerMultiplyToBlock(MultiplyCall call, int16_t* output, int32_t zero_point,
                                       const int8_t* table);

// Sums with residuals into rows of int8 or int16, to_token bytes apart. A residual adds the high
// half of (residual * factor + offset) * multiplier, rounded.
const int8_t* McuformerMultiplyToResidual8(MultiplyCall call, void* output, int32_t zero_point,
                                           int to_token, const void* residual, int32_t factor,
                                           int32_t offset, int32_t multiplier);
const int8_t* McuformerMultiplyToResidual16(MultiplyCall call, void* output, int32_t zero_point,
                                            int to_token, const void* residual, int32_t factor,
                                            int32_t offset, int32_t multiplier);

// Logits of four queries into a token block, two keys of a query side by side; the call has no
// constants, since all keys share these: twice the multiplier without its top bit, and the shift to
// the right, less 1, with the top bit set unless every logit fits 16 bits at that shift, without
// its bias. The biases of a query are int16 from `start` on, in lines of row_bytes that
// overlap by one; the first start is null where there are none. offset is that of the first key,
// row_end where its row ends, rows how many there are from it on.
const int8_t* McuformerMultiplyToLogits(MultiplyCall call, int16_t* output, int32_t fraction,
                                        int32_t right, const int16_t* start0, const int16_t* start1,
                                        const int16_t* start2, const int16_t* start3, int offset,
                                        int row_end, int rows, int row_bytes);

}  // extern "C"

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_MULTIPLY_H_
