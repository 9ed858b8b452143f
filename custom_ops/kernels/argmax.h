// Index of the greatest value of each row. Twin: custom_ops/reference/argmax.py.
#ifndef MCUFORMER_KERNELS_ARGMAX_H_
#define MCUFORMER_KERNELS_ARGMAX_H_

#include <cstdint>

namespace mcuformer {

// input: int8[rows, units]. output: int32[rows], the first index where several are greatest, as
// TFLite's ARG_MAX; apart from the input. Scratch: none.
void Argmax(int rows, int units, const int8_t* input, int32_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_ARGMAX_H_
