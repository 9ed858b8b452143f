// Softmax of one row of logits for MVE, in loops that leave out the lanes beyond its end.
#ifndef MCUFORMER_KERNELS_CORTEX_M_ATTENTION_SOFTMAX_H_
#define MCUFORMER_KERNELS_CORTEX_M_ATTENTION_SOFTMAX_H_

#include <cstdint>

#include "kernels/dsp.h"

namespace mcuformer {
namespace mve {

inline int32_t GreatestLogit(int tokens, const int16_t* row) {
  int32_t greatest = INT16_MIN;
  __asm__ volatile(
      "dlstp.16 lr, %2\n"
      "1:\n\t"
      "vldrh.u16 q0, [%0], #16\n\t"
      "vmaxv.s16 %1, q0\n\t"
      "letp lr, 1b"
      : "+&r"(row), "+&r"(greatest)
      : "r"(tokens)
      : "lr", "q0", "memory");
  return greatest;
}

// Replaces logits by the table's entry of their distance to the greatest; returns the sum. The
// table's last entry stands for those beyond it.
inline uint32_t Exponentials(int tokens, int32_t greatest, const int16_t* table, int last,
                             int16_t* row) {
  int32_t sum = 0;
  __asm__ volatile(
      "vdup.16 q2, %4\n\t"
      "vdup.16 q3, %5\n\t"
      "dlstp.16 lr, %3\n"
      "1:\n\t"
      "vldrh.u16 q0, [%0]\n\t"
      "vqsub.s16 q0, q2, q0\n\t"
      "vmin.u16 q0, q0, q3\n\t"
      "vldrh.u16 q1, [%2, q0, uxtw #1]\n\t"
      "vaddva.s16 %1, q1\n\t"
      "vstrh.16 q1, [%0], #16\n\t"
      "letp lr, 1b"
      : "+&r"(row), "+&Te"(sum)
      : "r"(table), "r"(tokens), "r"(greatest), "r"(last)
      : "lr", "q0", "q1", "q2", "q3", "memory");
  return static_cast<uint32_t>(sum);
}

// Replaces each exponential by (itself * inverse + 2^power) / 2^(power + 1), at most 2^15 - 1.
inline void Probabilities(int tokens, uint32_t inverse, int power, int16_t* row) {
  if (power > 15 && inverse <= UINT16_MAX) {
    // The products' low halves do not count, and none gives 2^15.
    __asm__ volatile(
        "vdup.16 q1, %2\n\t"
        "dlstp.16 lr, %1\n"
        "1:\n\t"
        "vldrh.u16 q0, [%0]\n\t"
        "vmulh.u16 q0, q0, q1\n\t"
        "vrshl.u16 q0, %3\n\t"
        "vstrh.16 q0, [%0], #16\n\t"
        "letp lr, 1b"
        : "+&r"(row)
        : "r"(tokens), "r"(inverse), "r"(15 - power)
        : "lr", "q0", "q1", "memory");
    return;
  }
  // Doubled and divided by 2^32, rounded. A sum has 26 bits, and of a small one the inverse has no
  // room to be shifted: the exponentials have.
  const int left = power < 12 ? 16 : 4;
  __asm__ volatile(
      "dlstp.32 lr, %1\n"
      "1:\n\t"
      "vldrh.u32 q0, [%0]\n\t"
      "vshl.s32 q0, %3\n\t"
      "vqrdmulh.s32 q0, q0, %2\n\t"
      "vqmovnb.s32 q0, q0\n\t"
      "vstrh.32 q0, [%0], #8\n\t"
      "letp lr, 1b"
      : "+&l"(row)
      : "r"(tokens), "r"(inverse << (30 - left - power)), "r"(left)
      : "lr", "q0", "memory");
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_ATTENTION_SOFTMAX_H_
