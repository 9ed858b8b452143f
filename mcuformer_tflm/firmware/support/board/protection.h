// What the protection unit lets a program do with a memory of the board (board_shape.h).
#ifndef MCUFORMER_BOARD_PROTECTION_H_
#define MCUFORMER_BOARD_PROTECTION_H_

#include <cstdint>

namespace mcuformer {

enum Access { kCode, kConstants, kData, kDevices };

#if __ARM_ARCH >= 8
// From the first byte to the last.
struct Protected {
  uint32_t first, last;
  Access access;
};
#else
// A power of two bytes from a multiple of them; bit i of `disabled` leaves eighth i out.
struct Protected {
  uint32_t base, log2_bytes, disabled;
  Access access;
};
#endif

}  // namespace mcuformer

#endif  // MCUFORMER_BOARD_PROTECTION_H_
