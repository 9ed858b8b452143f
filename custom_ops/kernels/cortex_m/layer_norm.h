// LayerNorm's loops for MVE, of which those over columns are assembly (cortex_m/layer_norm.S).
#ifndef MCUFORMER_KERNELS_CORTEX_M_LAYER_NORM_H_
#define MCUFORMER_KERNELS_CORTEX_M_LAYER_NORM_H_

#include <cstdint>

namespace mcuformer {
namespace mve {

// Sum and squares of a row: 64 values a round, and then a loop that leaves out the lanes beyond the
// row's end.
inline void SumRow(const int8_t* x, int width, int32_t& sum, uint64_t& squares) {
  int32_t of_values = 0, of_squares = 0;  // fits: 1024 * 2^14 does
  __asm__ volatile(
      "wls lr, %3, 2f\n"
      "1:\n\t"
      ".irp q, q0, q1, q2, q3\n\t"
      "vldrb.u8 \\q, [%0], #16\n\t"
      ".endr\n\t"
      ".irp q, q0, q1, q2, q3\n\t"
      "vaddva.s8 %1, \\q\n\t"
      "vmladava.s8 %2, \\q, \\q\n\t"
      ".endr\n\t"
      "le lr, 1b\n"
      "2:\n\t"
      "wlstp.8 lr, %4, 4f\n"
      "3:\n\t"
      "vldrb.u8 q0, [%0], #16\n\t"
      "vaddva.s8 %1, q0\n\t"
      "vmladava.s8 %2, q0, q0\n\t"
      "letp lr, 3b\n"
      "4:"
      : "+&r"(x), "+&Te"(of_values), "+&Te"(of_squares)
      : "r"(static_cast<uint32_t>(width) / 64), "r"(width & 63)
      : "lr", "q0", "q1", "q2", "q3", "memory");
  sum = of_values;
  squares = static_cast<uint32_t>(of_squares);
}

inline void SumRow(const int16_t* x, int width, int32_t& sum, uint64_t& squares) {
  int32_t of_values = 0;
  int64_t of_squares = 0;
  __asm__ volatile(
      "dlstp.16 lr, %3\n"
      "1:\n\t"
      "vldrh.u16 q0, [%0], #16\n\t"
      "vaddva.s16 %1, q0\n\t"
      "vmlaldava.s16 %Q2, %R2, q0, q0\n\t"
      "letp lr, 1b"
      : "+&r"(x), "+&Te"(of_values), "+&r"(of_squares)
      : "r"(width)
      : "lr", "q0", "memory");
  sum = of_values;
  squares = static_cast<uint64_t>(of_squares);
}

// What turns x into half its centred value, x * factor + offset, and that into the normalised one,
// half * inverse / 2^31. Of k = 0, where the centred value need not be even, both are the whole's.
struct RowScale {
  uint32_t factor, offset;
  int32_t inverse;
  int32_t k;
};

struct Columns {
  const int16_t* gamma;
  const int32_t* beta;
  int width;
};

constexpr int kNormalisedColumns = 8;

extern "C" {

// kNormalisedColumns at a time of one row, or of two that lie `width` values apart; no columns that
// are left over, and at least those. Two rows share what is loaded of gamma and beta.
void McuformerNormaliseOneOfInt8(const int8_t* x, int8_t* y, const RowScale* by, const Columns*);
void McuformerNormaliseTwoOfInt8(const int8_t* x, int8_t* y, const RowScale* by, const Columns*);
void McuformerNormaliseOneOfInt16(const int16_t* x, int8_t* y, const RowScale* by, const Columns*);
void McuformerNormaliseTwoOfInt16(const int16_t* x, int8_t* y, const RowScale* by, const Columns*);

}  // extern "C"

inline void NormaliseRows(const int8_t* x, int8_t* y, const RowScale (&by)[1], const Columns* of) {
  McuformerNormaliseOneOfInt8(x, y, by, of);
}
inline void NormaliseRows(const int8_t* x, int8_t* y, const RowScale (&by)[2], const Columns* of) {
  McuformerNormaliseTwoOfInt8(x, y, by, of);
}
inline void NormaliseRows(const int16_t* x, int8_t* y, const RowScale (&by)[1], const Columns* of) {
  McuformerNormaliseOneOfInt16(x, y, by, of);
}
inline void NormaliseRows(const int16_t* x, int8_t* y, const RowScale (&by)[2], const Columns* of) {
  McuformerNormaliseTwoOfInt16(x, y, by, of);
}

}  // namespace mve
}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_CORTEX_M_LAYER_NORM_H_
