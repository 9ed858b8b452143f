// The dot product that all matrix kernels share.
#ifndef MCUFORMER_KERNELS_DOT_H_
#define MCUFORMER_KERNELS_DOT_H_

#include <cstdint>

namespace mcuformer {

// start + sum of a[i] * b[i].
inline int32_t Dot(const int8_t* a, const int8_t* b, int size, int32_t start) {
  // Unsigned, so that a sum out of range wraps instead of being undefined.
  uint32_t sum = static_cast<uint32_t>(start);
  for (int i = 0; i < size; ++i) sum += static_cast<uint32_t>(int32_t{a[i]} * int32_t{b[i]});
  return static_cast<int32_t>(sum);
}

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_DOT_H_
