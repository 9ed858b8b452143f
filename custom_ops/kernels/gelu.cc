#include "kernels/gelu.h"

namespace mcuformer {

void Gelu(int size, const int8_t* input, const int8_t* table, int8_t* output) {
  constexpr int kUnroll = 8;
  const int8_t* entries = table + 128;
  int i = 0;
  for (; i + kUnroll <= size; i += kUnroll) {
    for (int j = i; j < i + kUnroll; ++j) output[j] = entries[input[j]];
  }
  for (; i < size; ++i) output[i] = entries[input[i]];
}

}  // namespace mcuformer
