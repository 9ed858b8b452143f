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

// What the inner loops take: four rows, how many whole steps they are long and what lies behind
// them, and from which sums to start, of the first unit with each row and then of the second.
struct HeliumCall {
  const void* rows[4];
  int steps;
  int tail;
  const int32_t* start;
};

extern "C" {

// sums[unit * 4 + row] = start[unit * 4 + row] + products with the weights of two units. The tail
// is one of those without a Tail in their name and of the others none.
//
// int8 by packed weights of 8 bits: steps of 16 values, a tail of words of 4.
void McuformerHeliumInt8(const HeliumCall* call, const int8_t* weights, int32_t* sums);
void McuformerHeliumInt8Tail(const HeliumCall* call, const int8_t* weights, int32_t* sums);
// int8, in the order of TokenBlock, by packed weights of 4 bits, taken as nibbles 0 to 15: steps of
// 32 values, a tail of words of 8.
void McuformerHeliumInt4(const HeliumCall* call, const int8_t* weights, int32_t* sums);
void McuformerHeliumInt4Tail(const HeliumCall* call, const int8_t* weights, int32_t* sums);
// int16 by int8 that lies [steps][2 units][8 values], the tail [2][4] where it has up to 4 values.
void McuformerHeliumInt16(const HeliumCall* call, const int8_t* weights, int32_t* sums);
void McuformerHeliumInt16Tail(const HeliumCall* call, const int8_t* weights, int32_t* sums);

}  // extern "C"

using HeliumDot = void (*)(const HeliumCall*, const int8_t*, int32_t*);

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

// Rescaled sums of a pair of units, or values made of them: a lane a row.
struct HeliumPair {
  int32x4_t first, second;

  // Lane 2 * row + unit, saturated.
  int16x8_t Interleaved() const {
    return vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), first), second);
  }
};

// MultiplyByQuantizedMultiplier of each lane, shift < 0.
inline int32x4_t RescaledDown(int32x4_t sums, int32_t multiplier, int32_t shift) {
  const int32x4_t high = vqrdmulhq_n_s32(sums, multiplier);
  // Ties away from zero: one less below it.
  return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
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
  const int16x8_t sums = vqaddq_n_s16(pair.Interleaved(), static_cast<int16_t>(zero_point));
  return vreinterpretq_s16_s8(vqmovnbq_s16(vuninitializedq_s8(), sums));
}

// The same, looked up in a table that begins with its entry of -128.
inline int16x8_t HeliumBytes(const HeliumPair& pair, int32_t zero_point, const int8_t* table) {
  const int16x8_t sums = vqaddq_n_s16(pair.Interleaved(), static_cast<int16_t>(zero_point + 128));
  const auto entries = vreinterpretq_u16_u8(vqmovunbq_s16(vdupq_n_u8(0), sums));
  return vldrbq_gather_offset_s16(table, entries);
}

}  // namespace mcuformer

#endif  // MCUFORMER_CORTEX_M_MVE

#endif  // MCUFORMER_KERNELS_CORTEX_M_HELIUM_H_
