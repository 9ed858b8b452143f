#include "kernels/gelu.h"

namespace mcuformer {

void Gelu(int size, const int8_t* input, const int8_t* table, int8_t* output) {
  for (int i = 0; i < size; ++i) output[i] = GeluOf(input[i], table);
}

}  // namespace mcuformer
