// The sum by which the program tells that constants lie in flash as they were linked.
#ifndef MCUFORMER_CHECKSUM_H_
#define MCUFORMER_CHECKSUM_H_

#include <cstdint>

namespace mcuformer {

// Fletcher's sum over bytes; mcuformer_tflm/firmware/source.py computes the same. One byte that
// differs by d, b bytes before the end, changes it by d * (b + 2^16), which is never 0 in 32 bits
// below 2^24 bytes: no flipped bit goes unseen.
inline uint32_t Checksum(const uint8_t* data, uint32_t size) {
  uint32_t first = 0, second = 0;
  for (uint32_t i = 0; i < size; ++i) {
    first += data[i];
    second += first;
  }
  return second + (first << 16);
}

}  // namespace mcuformer

#endif  // MCUFORMER_CHECKSUM_H_
