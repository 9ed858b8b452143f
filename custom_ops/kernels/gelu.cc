#include "kernels/gelu.h"

#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/gelu.h"
#endif

namespace mcuformer {

void Gelu(int size, const int8_t* input, const int8_t* table, int8_t* output) {
#ifdef MCUFORMER_CORTEX_M_MVE
  mve::LookUp(input, size, table, output);
#else
  constexpr int kUnroll = 8;
  const int8_t* entries = table + 128;
  int i = 0;
  for (; i + kUnroll <= size; i += kUnroll) {
    for (int j = i; j < i + kUnroll; ++j) output[j] = entries[input[j]];
  }
  for (; i < size; ++i) output[i] = entries[input[i]];
#endif
}

}  // namespace mcuformer
