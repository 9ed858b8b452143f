// Products with Helium (MVE): four rows by pairs of units, their sums rescaled and stored as
// vectors. The inner loops are cortex_m/helium.S.
#ifndef MCUFORMER_KERNELS_CORTEX_M_HELIUM_H_
#define MCUFORMER_KERNELS_CORTEX_M_HELIUM_H_

#include "kernels/cortex_m/target.h"

#ifdef MCUFORMER_CORTEX_M_MVE

#include <arm_mve.h>

#include <cstdint>

namespace mcuformer {

constexpr int kWordsOfVector = 4;

// What the inner loops take: four rows, how many whole steps they are long, and what lies behind
// them.
struct HeliumCall {
  const void* rows[4];
  int steps;
  int tail;
};

// A lane for each row, of two units.
struct HeliumPair {
  int32x4_t first, second;

  // Lane 2 * row + unit, saturated.
  int16x8_t Interleaved() const {
    int32x4_t both = first;  // in place, for which the intrinsics take a copy
    __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+&w"(both) : "w"(second));
    return vreinterpretq_s16_s32(both);
  }
};

extern "C" {

// The sums from which they start, of the first unit with each row and then of the second, and to
// them the products with the weights of two units. Those with Tail in their name are for a tail,
// the others for none. They have a calling convention of their own: HeliumProducts calls them.
//
// int8 by packed weights of 8 bits: steps of 16 values, a tail of words of 4.
void McuformerHeliumInt8();
void McuformerHeliumInt8Tail();
// int8, in the order of token blocks for them (dot.h), by packed weights of 4 bits, taken as
// nibbles 0 to 15: steps of 32 values, a tail of words of 8.
void McuformerHeliumInt4();
void McuformerHeliumInt4Tail();
// int16 by int8 that lies [steps][2 units][8 values], the tail [2][4] where it has up to 4 values.
void McuformerHeliumInt16();
void McuformerHeliumInt16Tail();

}  // extern "C"

using HeliumDot = void (*)();

// Calls a loop; weights: those of two units, and afterwards what lies behind them.
[[gnu::always_inline]] inline HeliumPair HeliumProducts(const HeliumCall& of_rows,
                                                        const int32_t* from, HeliumDot dot,
                                                        const int8_t*& weights) {
  register const HeliumCall* call __asm__("r1") = &of_rows;
  register const int32_t* start __asm__("r2") = from;
  register const int8_t* at __asm__("r3") = weights;
  register int32x4_t first __asm__("q0");
  register int32x4_t second __asm__("q1");
  __asm__ volatile("blx %[dot]"
                   : "=w"(first), "=w"(second), "+r"(call), "+r"(start), "+r"(at)
                   : [dot] "r"(dot)
                   : "r0", "r12", "lr", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
  weights = at;
  return {first, second};
}

// The loop for packed weights.
inline HeliumDot HeliumDotOf(const HeliumCall& call, bool int4) {
  if (int4) return call.tail == 0 ? McuformerHeliumInt4 : McuformerHeliumInt4Tail;
  return call.tail == 0 ? McuformerHeliumInt8 : McuformerHeliumInt8Tail;
}

// Rows that lie farther apart have offsets beyond 16 bits.
constexpr int kMostStride = 0xFFFF / 3 - 1;

// Where a pair's eight results go: lane 2 * row + unit of 16 bits.
inline uint16x8_t PairOffsets(int row_step, int unit_step) {
  static constexpr uint16_t kRows[8] = {0, 0, 1, 1, 2, 2, 3, 3},
                            kUnits[8] = {0, 1, 0, 1, 0, 1, 0, 1};
  return vmlaq_n_u16(vmulq_n_u16(vldrhq_u16(kRows), static_cast<uint16_t>(row_step)),
                     vldrhq_u16(kUnits), static_cast<uint16_t>(unit_step));
}

// MultiplyByQuantizedMultiplier of each lane, shift < 0.
inline int32x4_t RescaledDown(int32x4_t sums, int32_t multiplier, int32_t shift) {
  int32x4_t high = vqrdmulhq_n_s32(sums, multiplier);
  // Ties away from zero: one less below it, the high half of twice the lane.
  __asm__("vqdmlah.s32 %q0, %q0, %1" : "+w"(high) : "r"(1));
  return vrshlq_n_s32(high, shift);
}

// The same for any shift.
[[gnu::noinline]] inline int32x4_t Rescaled(int32x4_t sums, int32_t multiplier, int32_t shift) {
  if (shift < 0) return RescaledDown(sums, multiplier, shift);
  return vqrdmulhq_n_s32(vqshlq_r_s32(sums, shift), multiplier);
}

// Rows and units that are there: of lane 2 * row + unit.
inline mve_pred16_t HeliumLanes(int rows, bool both) {
  return static_cast<mve_pred16_t>(vctp16q(2 * rows) & (both ? 0xFFFF : 0x3333));
}

// saturate(pair + zero_point), a byte in the low half of each lane.
inline int16x8_t HeliumBytes(const HeliumPair& pair, int32_t zero_point) {
  int16x8_t sums = vqaddq_n_s16(pair.Interleaved(), static_cast<int16_t>(zero_point));
  __asm__("vqmovnb.s16 %q0, %q0" : "+w"(sums));
  return sums;
}

// The same, looked up in a table that begins with its entry of -128.
inline int16x8_t HeliumBytes(const HeliumPair& pair, int32_t zero_point, const int8_t* table) {
  const int16x8_t sums = vqaddq_n_s16(pair.Interleaved(), static_cast<int16_t>(zero_point + 128));
  uint16x8_t entries;  // GCC would keep the zero in memory
  __asm__("vmov.i32 %q0, #0\n\tvqmovunb.s16 %q0, %q1" : "=&w"(entries) : "w"(sums));
  return vldrbq_gather_offset_s16(table, entries);
}

}  // namespace mcuformer

#endif  // MCUFORMER_CORTEX_M_MVE

#endif  // MCUFORMER_KERNELS_CORTEX_M_HELIUM_H_
