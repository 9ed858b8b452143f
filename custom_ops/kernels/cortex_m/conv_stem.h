// What the convolutional stem does with bytes, for MVE: in loops that leave out the lanes beyond
// the end, where memcpy and memset of newlib for small programs go byte by byte.
#ifndef MCUFORMER_KERNELS_CORTEX_M_CONV_STEM_H_
#define MCUFORMER_KERNELS_CORTEX_M_CONV_STEM_H_

#include <cstdint>

namespace mcuformer {
namespace mve {

// bytes: at least 1.
inline void Copy(const int8_t* from, int bytes, int8_t* to) {
  __asm__ volatile(
      "dlstp.8 lr, %2\n"
      "1:\n\t"
      "vldrb.u8 q0, [%0], #16\n\t"
      "vstrb.8 q0, [%1], #16\n\t"
      "letp lr, 1b"
      : "+&r"(from), "+&r"(to)
      : "r"(bytes)
      : "lr", "q0", "memory");
}

inline void Fill(int32_t value, int bytes, int8_t* to) {
  __asm__ volatile(
      "vdup.8 q0, %2\n\t"
      "dlstp.8 lr, %1\n"
      "1:\n\t"
      "vstrb.8 q0, [%0], #16\n\t"
      "letp lr, 1b"
      : "+&r"(to)
      : "r"(bytes), "r"(value)
      : "lr", "q0", "memory");
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_CONV_STEM_H_
