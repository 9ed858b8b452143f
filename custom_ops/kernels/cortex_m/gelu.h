// A table of 256 bytes, looked up by MVE, sixteen at once.
#ifndef MCUFORMER_KERNELS_CORTEX_M_GELU_H_
#define MCUFORMER_KERNELS_CORTEX_M_GELU_H_

#include <cstdint>

namespace mcuformer {
namespace mve {

// y[i] = table[x[i] + 128]; x may be y.
inline void LookUp(const int8_t* x, int size, const int8_t* table, int8_t* y) {
  __asm__ volatile(
      "dlstp.8 lr, %2\n"
      "1:\n\t"
      "vldrb.u8 q0, [%0], #16\n\t"
      "vadd.i8 q0, q0, %4\n\t"
      "vldrb.u8 q1, [%3, q0]\n\t"
      "vstrb.8 q1, [%1], #16\n\t"
      "letp lr, 1b"
      : "+&r"(x), "+&r"(y)
      : "r"(size), "l"(table), "r"(128)
      : "lr", "q0", "q1", "memory");
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_GELU_H_
