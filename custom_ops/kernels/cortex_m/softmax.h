// Softmax's passes over a row for MVE, in loops that leave out the lanes beyond its end.
#ifndef MCUFORMER_KERNELS_CORTEX_M_SOFTMAX_H_
#define MCUFORMER_KERNELS_CORTEX_M_SOFTMAX_H_

#include <cstdint>

namespace mcuformer {
namespace mve {

inline int32_t GreatestOf(const int8_t* x, int width) {
  int32_t greatest = INT8_MIN;
  __asm__ volatile(
      "dlstp.8 lr, %2\n"
      "1:\n\t"
      "vldrb.u8 q0, [%0], #16\n\t"
      "vmaxv.s8 %1, q0\n\t"
      "letp lr, 1b"
      : "+&r"(x), "+&r"(greatest)
      : "r"(width)
      : "lr", "q0", "memory");
  return greatest;
}

// The sum of table[x] / 2^kShift, each rounded.
template <int kShift>
inline uint32_t SumOfEntries(const int8_t* x, int width, const int32_t* table) {
  uint32_t sum = 0;
  __asm__ volatile(
      "dlstp.32 lr, %3\n"
      "1:\n\t"
      "vldrb.s32 q0, [%0], #4\n\t"
      "vldrw.u32 q1, [%2, q0, uxtw #2]\n\t"
      "vrshr.u32 q1, q1, %4\n\t"
      "vaddva.u32 %1, q1\n\t"
      "letp lr, 1b"
      : "+&l"(x), "+&Te"(sum)
      : "r"(table), "r"(width), "i"(kShift)
      : "lr", "q0", "q1", "memory");
  return sum;
}

// y = saturate(table[x] * factor / 2^31 / 2^shift - 128), each division rounded; no entry and no
// factor is negative.
inline void ScaleEntries(const int8_t* x, int width, const int32_t* table, int32_t factor,
                         int32_t shift, int8_t* y) {
  __asm__ volatile(
      "dlstp.32 lr, %2\n"
      "1:\n\t"
      "vldrb.s32 q0, [%0], #4\n\t"
      "vldrw.u32 q1, [%3, q0, uxtw #2]\n\t"
      "vqrdmulh.s32 q1, q1, %4\n\t"
      "vrshl.s32 q1, %5\n\t"
      "vsub.i32 q1, q1, %6\n\t"
      "vqmovnb.s16 q1, q1\n\t"
      "vstrb.32 q1, [%1], #4\n\t"
      "letp lr, 1b"
      : "+&l"(x), "+&l"(y)
      : "r"(width), "r"(table), "r"(factor), "r"(-shift), "r"(128)
      : "lr", "q0", "q1", "memory");
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_SOFTMAX_H_
