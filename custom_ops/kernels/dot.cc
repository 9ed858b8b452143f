#include "kernels/dot.h"

#include <cstring>

#include "kernels/cortex_m/rows.h"
#include "kernels/dsp.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// With Helium cortex_m/helium.cc has all that is here.
#if !defined(MCUFORMER_CORTEX_M_MVE)

// Where MCUFORMER_CORTEX_M_DOT is set, cortex_m/dot.S holds the inner loops.
#if !defined(MCUFORMER_CORTEX_M_DOT)

namespace {

using mcuformer::kBlockTokens;

constexpr int kBlockStep = 4 * kBlockTokens;

#if defined(__SSE2__)

inline __m128i Pair(int even, int odd) {
  const uint32_t low = static_cast<uint16_t>(even), high = static_cast<uint16_t>(odd);
  return _mm_set1_epi32(static_cast<int32_t>(low | high << 16));
}

// Adds one step of four weights to the sums of four tokens.
inline __m128i AddStep(__m128i sum, const int16_t* block, int w0, int w1, int w2, int w3) {
  const __m128i* pairs = reinterpret_cast<const __m128i*>(block);
  sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_loadu_si128(pairs), Pair(w0, w2)));
  return _mm_add_epi32(sum, _mm_madd_epi16(_mm_loadu_si128(pairs + 1), Pair(w1, w3)));
}

struct Sums {
  explicit Sums(const int32_t* from)
      : value(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))) {}
  void Add(const int16_t* block, int w0, int w1, int w2, int w3) {
    value = AddStep(value, block, w0, w1, w2, w3);
  }
  void Store(int32_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value); }
  __m128i value;
};

#else

struct Sums {
  explicit Sums(const int32_t* from) { std::memcpy(value, from, sizeof(value)); }
  void Add(const int16_t* block, int w0, int w1, int w2, int w3) {
    for (int token = 0; token < kBlockTokens; ++token) {
      const int16_t* even = block + 2 * token;
      const int16_t* odd = even + 2 * kBlockTokens;
      value[token] += even[0] * w0 + odd[0] * w1 + even[1] * w2 + odd[1] * w3;
    }
  }
  void Store(int32_t* to) const { std::memcpy(to, value, sizeof(value)); }
  int32_t value[kBlockTokens];
};

#endif

inline int32_t DotOfOne(const int16_t* even, int w0, int w1, int w2, int w3) {
  const int16_t* odd = even + 2 * kBlockTokens;
  return even[0] * w0 + odd[0] * w1 + even[1] * w2 + odd[1] * w3;
}

inline int Low(int8_t byte) { return byte & 15; }
inline int High(int8_t byte) { return (byte >> 4) & 15; }

}  // namespace

extern "C" {

void McuformerDot4x2(const int16_t* block, const int8_t* weights, int steps, int32_t* sums) {
  Sums first(sums), second(sums + kBlockTokens);
  for (int step = 0; step < steps; ++step, block += kBlockStep, weights += 8) {
    const int8_t* w = weights;
    first.Add(block, w[0], w[1], w[2], w[3]);
    second.Add(block, w[4], w[5], w[6], w[7]);
  }
  first.Store(sums);
  second.Store(sums + kBlockTokens);
}

void McuformerDot1x2(const int16_t* block, const int8_t* weights, int steps, int32_t* sums) {
  for (int step = 0; step < steps; ++step, block += kBlockStep, weights += 8) {
    const int8_t* w = weights;
    sums[0] += DotOfOne(block, w[0], w[1], w[2], w[3]);
    sums[1] += DotOfOne(block, w[4], w[5], w[6], w[7]);
  }
}

void McuformerDot4x2Int4(const int16_t* block, const int8_t* weights, int steps, int32_t* sums) {
  Sums first(sums), second(sums + kBlockTokens);
  for (int step = 0; step < steps; ++step, block += 2 * kBlockStep, weights += 8) {
    const int8_t* w = weights;
    first.Add(block, Low(w[0]), High(w[0]), Low(w[2]), High(w[2]));
    first.Add(block + kBlockStep, Low(w[1]), High(w[1]), Low(w[3]), High(w[3]));
    second.Add(block, Low(w[4]), High(w[4]), Low(w[6]), High(w[6]));
    second.Add(block + kBlockStep, Low(w[5]), High(w[5]), Low(w[7]), High(w[7]));
  }
  first.Store(sums);
  second.Store(sums + kBlockTokens);
}

void McuformerDot1x2Int4(const int16_t* block, const int8_t* weights, int steps, int32_t* sums) {
  for (int step = 0; step < steps; ++step, block += 2 * kBlockStep, weights += 8) {
    for (int unit = 0; unit < 2; ++unit) {
      const int8_t* w = weights + 4 * unit;
      sums[unit] += DotOfOne(block, Low(w[0]), High(w[0]), Low(w[2]), High(w[2]));
      sums[unit] += DotOfOne(block + kBlockStep, Low(w[1]), High(w[1]), Low(w[3]), High(w[3]));
    }
  }
}

}  // extern "C"

#endif  // !MCUFORMER_CORTEX_M_DOT

namespace mcuformer {
namespace {

// The pair (x0, x2) goes to `even`, (x1, x3) to where the odd pairs of the step lie.
inline void WidenFour(const int8_t* x, int16_t* even) {
  int16_t* odd = even + 2 * kBlockTokens;
#ifdef MCUFORMER_CORTEX_M_DSP
  const int32_t word = LoadWord(x);
  const int16x2_t first = __sxtb16(word), second = OddBytes(word);
  std::memcpy(even, &first, sizeof(first));
  std::memcpy(odd, &second, sizeof(second));
#else
  even[0] = x[0];
  even[1] = x[2];
  odd[0] = x[1];
  odd[1] = x[3];
#endif
}

// Sum of two pairs.
inline int32_t AddPairs(const int16_t* even, const int16_t* odd, int32_t start) {
#ifdef MCUFORMER_CORTEX_M_DSP
  constexpr int16x2_t kOnes = 0x00010001;
  return __smlad(LoadWord(odd), kOnes, __smlad(LoadWord(even), kOnes, start));
#else
  return start + even[0] + even[1] + odd[0] + odd[1];
#endif
}

template <int kTokens>
inline void WidenSteps(const int8_t* rows, int stride, int steps, int16_t* block) {
  const int16_t* end = block + steps * kStepOfInt8 * kBlockTokens;
  for (; block != end; block += kStepOfInt8 * kBlockTokens, rows += kStepOfInt8) {
    for (int token = 0; token < kTokens; ++token) {
      WidenFour(rows + token * stride, block + 2 * token);
    }
  }
}

}  // namespace

void WidenTokens(const int8_t* rows, int stride, int tokens, int width, int16_t* block) {
  const int whole = width & -kStepOfInt8;
  if (tokens == kBlockTokens && whole > 0) {
#ifdef MCUFORMER_CORTEX_M_DSP
    McuformerWidenFour(rows, stride, whole / kStepOfInt8, block);
    if (whole == width) return;
#else
    WidenSteps<kBlockTokens>(rows, stride, whole / kStepOfInt8, block);
#endif
  } else {
    for (int token = 0; token < tokens; ++token) {
      WidenSteps<1>(rows + token * stride, stride, whole / kStepOfInt8, block + 2 * token);
    }
  }
  for (int token = 0; token < tokens; ++token) {
    for (int i = whole; i < width; ++i)
      block[BlockIndex(token, i, {width, 8})] = rows[token * stride + i];
  }
}

void WidenToken(const int8_t* row, int steps, int16_t* block) {
  WidenSteps<1>(row, 0, steps, block);
}

int32_t SumToken(const int16_t* pairs, int width) {
  constexpr int kStep = kStepOfInt8 * kBlockTokens;
  int32_t sum = 0;
  const int16_t* end = pairs + width / kStepOfInt8 * kStep;
#pragma GCC unroll 4
  for (; pairs != end; pairs += kStep) sum = AddPairs(pairs, pairs + kStep / 2, sum);
  for (int i = 0; i < width % kStepOfInt8; ++i) sum += pairs[BlockIndex(0, i, {width, 4})];
  return sum;
}

}  // namespace mcuformer

#endif  // !MCUFORMER_CORTEX_M_MVE
