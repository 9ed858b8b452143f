// What dot.h declares, with Helium (MVE).
#include "kernels/cortex_m/helium.h"

#include "kernels/dot.h"

#ifdef MCUFORMER_CORTEX_M_MVE

namespace mcuformer {
namespace {

void Dot(const int8_t* block, const int8_t* weights, int steps, bool int4, int32_t* sums) {
  HeliumCall call = {{}, steps / kWordsOfVector, steps % kWordsOfVector};
  const int stride = RowStride(steps * (int4 ? kStepOfInt4 : kStepOfInt8));
  for (int token = 0; token < kBlockTokens; ++token) call.rows[token] = block + token * stride;
  const HeliumPair pair = HeliumProducts(call, sums, HeliumDotOf(call, int4), weights);
  vstrwq_s32(sums, pair.first);
  vstrwq_s32(sums + kBlockTokens, pair.second);
}

}  // namespace

extern "C" {

void McuformerDot4x2(const int8_t* block, const int8_t* weights, int steps, int32_t* sums) {
  Dot(block, weights, steps, false, sums);
}

void McuformerDot4x2Int4(const int8_t* block, const int8_t* weights, int steps, int32_t* sums) {
  Dot(block, weights, steps, true, sums);
}

}  // extern "C"

void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int8_t* block,
                 int block_stride, bool reverses) {
  static constexpr uint8_t kReversed[16] = {0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15};
  const uint8x16_t places = vldrbq_u8(kReversed);
  for (int token = 0; token < tokens; ++token, rows += stride, block += block_stride) {
    const int8_t* from = rows;
    int8_t* to = block;
    for (int left = width; left > 0; left -= 16, from += 16, to += 16) {
      const mve_pred16_t values = vctp8q(left);
      if (reverses) {
        vstrbq_scatter_offset_p_s8(to, places, vldrbq_z_s8(from, values), values);
      } else {
        vstrbq_p_s8(to, vldrbq_z_s8(from, values), values);
      }
    }
  }
}

void WidenToken(const int8_t* row, int steps, int8_t* block) {
  WidenTokens(row, 0, 1, steps * kStepOfInt8, block, 0, false);
}

int32_t SumToken(const int8_t* row, int width) {
  constexpr BlockShape kShape(0, 4);
  const int whole = width & -kStepOfInt4;
  int32_t sum = 0;
  for (int i = 0; i < whole; i += 16) {
    const mve_pred16_t values = vctp8q(whole - i);
    sum = vaddvaq_p_s8(sum, vldrbq_z_s8(row + i, values), values);
  }
  for (int i = whole; i < width; ++i) sum += row[kShape.Place(i)];
  return sum;
}

}  // namespace mcuformer

#endif  // MCUFORMER_CORTEX_M_MVE
