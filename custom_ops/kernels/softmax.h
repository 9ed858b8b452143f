// Softmax over the last axis, bit for bit that of TFLite's reference kernel for int8.
// Twin: custom_ops/reference/softmax.py.
#ifndef MCUFORMER_KERNELS_SOFTMAX_H_
#define MCUFORMER_KERNELS_SOFTMAX_H_

#include <cstdint>

namespace mcuformer {

constexpr int kSoftmaxTableSize = 256;
// A row's sum of exponentials, 1 at most each, must stay below 2^11.
constexpr int kSoftmaxMaxWidth = 2047;
// Entry of a difference of 0 in the table.
constexpr int32_t kSoftmaxOne = INT32_MAX;

// input: int8[rows, width]; its scale is in the table. table: int32[256], exp of the difference
// d <= 0 to a row's greatest value at d + 255, times 2^31, none negative, the last kSoftmaxOne.
// output: int8[rows, width], scale 1 / 256, zero point -128; may be the input. Scratch: none.
void Softmax(int rows, int width, const int8_t* input, const int32_t* table, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_SOFTMAX_H_
