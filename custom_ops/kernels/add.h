// Sum of two tensors, bit for bit that of TFLite's reference kernel.
// Twin: custom_ops/reference/add.py.
#ifndef MCUFORMER_KERNELS_ADD_H_
#define MCUFORMER_KERNELS_ADD_H_

#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

// A summand's way to units that both share: half the greater scale.
struct AddOperand {
  int32_t zero_point;
  QuantizedMultiplier rescale;  // at most 1/2
};

struct AddParams {
  AddOperand first;
  AddOperand second;
  int32_t output_zero_point;
  QuantizedMultiplier output;  // below 1
};

// first, second, output: T[size], int8 or int16; the output may be either input. Scratch: none.
template <typename T>
void Add(const AddParams& params, int size, const T* first, const T* second, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_ADD_H_
