// Sigmoid-GELU, x * sigmoid(1.702 x), by table. Twin: custom_ops/reference/gelu.py.
#ifndef MCUFORMER_KERNELS_GELU_H_
#define MCUFORMER_KERNELS_GELU_H_

#include <cstdint>

namespace mcuformer {

// table: int8[256], the entry of v at v + 128.
inline int8_t GeluOf(int8_t value, const int8_t* table) { return table[value + 128]; }
// The entry of 0, from which a value is an index.
inline const int8_t* GeluFromZero(const int8_t* table) { return table + 128; }

// input, output: int8[size]; may be the same. Scratch: none.
void Gelu(int size, const int8_t* input, const int8_t* table, int8_t* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_GELU_H_
