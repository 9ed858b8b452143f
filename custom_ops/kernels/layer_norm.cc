#include "kernels/layer_norm.h"

#include "kernels/dsp.h"
#include "kernels/fixed_point.h"
#include "kernels/integer_sqrt.h"

#ifdef MCUFORMER_CORTEX_M_MVE
#include "kernels/cortex_m/layer_norm.h"
#endif

namespace mcuformer {
namespace {

constexpr int kUnroll = 8;

struct Moments {
  int32_t sum;
  uint64_t squares;
};

#if defined(MCUFORMER_CORTEX_M_MVE)

template <typename T>
Moments MomentsOf(const T* x, int width) {
  Moments moments;
  mve::SumRow(x, width, moments.sum, moments.squares);
  return moments;
}

#elif defined(MCUFORMER_CORTEX_M_DSP)

constexpr int16x2_t kOnes = 0x00010001;

// Four values at once; a row's squares fit 32 bits, since 1024 * 2^14 does.
Moments MomentsOf(const int8_t* x, int width) {
  int32_t sum = 0, squares = 0;
  int i = 0;
  for (; i + kUnroll <= width; i += kUnroll) {
#pragma GCC unroll 2
    for (int j = i; j < i + kUnroll; j += 4) {
      const int32_t word = LoadWord(x + j);
      const int16x2_t even = __sxtb16(word), odd = OddBytes(word);
      sum = __smlad(even, kOnes, sum);
      squares = __smlad(even, even, squares);
      sum = __smlad(odd, kOnes, sum);
      squares = __smlad(odd, odd, squares);
    }
  }
  for (; i < width; ++i) {
    sum += x[i];
    squares += x[i] * x[i];
  }
  return {sum, static_cast<uint64_t>(squares)};
}

Moments MomentsOf(const int16_t* x, int width) {
  int32_t sum = 0;
  int64_t squares = 0;
  int i = 0;
  for (; i + kUnroll <= width; i += kUnroll) {
#pragma GCC unroll 4
    for (int j = i; j < i + kUnroll; j += 2) {
      const int16x2_t pair = LoadWord(x + j);
      sum = __smlad(pair, kOnes, sum);
      squares = __smlald(pair, pair, squares);
    }
  }
  for (; i < width; ++i) {
    sum += x[i];
    squares += static_cast<int32_t>(x[i]) * x[i];
  }
  return {sum, static_cast<uint64_t>(squares)};
}

#else

template <typename T>
Moments MomentsOf(const T* x, int width) {
  Moments moments = {0, 0};
  for (int i = 0; i < width; ++i) {
    moments.sum += x[i];
    moments.squares += static_cast<uint32_t>(static_cast<int32_t>(x[i]) * x[i]);
  }
  return moments;
}

#endif

// What a row's variance comes to.
struct Scale {
  int k;            // sqrt(V) * 2^k lies in [2^24, 2^25]
  int32_t inverse;  // 2^(32 + normalised_bits) / (sqrt(V) * 2^k)
};

Scale ScaleOf(const LayerNormParams& params, const Moments& moments) {
  const uint64_t variance = params.width * moments.squares -
                            static_cast<uint64_t>(static_cast<int64_t>(moments.sum) * moments.sum) +
                            static_cast<uint64_t>(params.epsilon);
  if (variance == 0) return {1, 0};
  const uint32_t top = static_cast<uint32_t>(variance >> 32);
  const int bits = top != 0 ? 32 + BitWidth(top) : BitWidth(static_cast<uint32_t>(variance));
  const int up = (32 - bits) & ~1;  // at least -18: the variance of int16 ends below 2^50
  const uint32_t mantissa = static_cast<uint32_t>(up >= 0 ? variance << up : variance >> -up);
#ifdef MCUFORMER_CORTEX_M_MVE
  const auto square_root = InlineIntegerSqrt;
#else
  const auto square_root = IntegerSqrt;
#endif
  const uint32_t root = square_root(mantissa, params.iterations);  // in [2^15, 2^16]
  // floor(2^46 / root) by two divisions of 32 bits.
  const uint32_t quotient = (uint32_t{1} << 31) / root;
  const uint32_t rest = (uint32_t{1} << 31) - quotient * root;
  const uint32_t inverse = (quotient << 15) + (rest << 15) / root;
  const int k = up / 2 + 9;
  return {k, static_cast<int32_t>(inverse >> (23 - params.normalised_bits))};
}

// What turns x into its normalised value: (x * factor + offset) * inverse / 2^32.
struct Normaliser {
  // c * 2^k. Unsigned: both terms may wrap, their sum is within 2^30, since
  // |c| <= sqrt(w - 1) * sqrt(V).
  uint32_t factor;
  uint32_t offset;
  int32_t inverse;
};

inline Normaliser NormaliserOf(int width, int32_t sum, const Scale& scale) {
  return {static_cast<uint32_t>(width) << scale.k, (uint32_t{0} - sum) << scale.k, scale.inverse};
}

inline int32_t Centred(int32_t x, const Normaliser& by) {
  return static_cast<int32_t>(static_cast<uint32_t>(x) * by.factor + by.offset);
}

inline int8_t Normalise(int32_t x, const Normaliser& by, int16_t gamma, int32_t beta) {
  const int32_t normalised = MultiplyHighRounded(Centred(x, by), by.inverse);
  return SaturateInt8(MultiplyAddHigh(normalised, gamma, beta) >> 8);
}

// Two values.
template <typename T>
inline void NormalisePair(const T* x, const Normaliser& by, const int16_t* gamma,
                          const int32_t* beta, int8_t* y) {
#ifdef MCUFORMER_CORTEX_M_DSP
  const int32_t both = LoadWord(gamma);
  const int32_t first = MultiplyHighRounded(Centred(x[0], by), by.inverse);
  const int32_t second = MultiplyHighRounded(Centred(x[1], by), by.inverse);
  y[0] = SaturateInt8(__smlawb(first, both, beta[0]) >> 8);
  y[1] = SaturateInt8(__smlawt(second, both, beta[1]) >> 8);
#else
  y[0] = Normalise(x[0], by, gamma[0], beta[0]);
  y[1] = Normalise(x[1], by, gamma[1], beta[1]);
#endif
}

#ifdef MCUFORMER_CORTEX_M_MVE

// Whether a row's centred values, times 2^k, are even. Of int8 they are: its variance ends below
// 2^34, so that k is 8 at least.
template <typename T>
constexpr bool HasHalves(int32_t k) {
  return sizeof(T) == 1 || k > 0;
}

[[gnu::noinline]] void ScaleRow(mve::RowScale* half, int32_t sum, uint64_t squares,
                                const LayerNormParams& params) {
  const Scale scale = ScaleOf(params, {sum, squares});
  const int shift = scale.k > 0 ? scale.k - 1 : 0;
  half->factor = static_cast<uint32_t>(params.width) << shift;
  half->offset = (uint32_t{0} - sum) << shift;
  half->inverse = scale.inverse;
  half->k = scale.k;
}

// Columns of a row from `column` on, one by one.
template <typename T>
[[gnu::noinline]] void NormaliseFrom(int column, const mve::Columns& columns,
                                     const mve::RowScale& half, const T* x, int8_t* y) {
  const int shift = HasHalves<T>(half.k) ? 1 : 0;
  const Normaliser by = {half.factor << shift, half.offset << shift, half.inverse};
  for (; column < columns.width; ++column) {
    y[column] = Normalise(x[column], by, columns.gamma[column], columns.beta[column]);
  }
}

template <int kRows, typename T>
void NormaliseRows(const LayerNormParams& params, const mve::Columns& columns, const T* x,
                   int8_t* y) {
  const int width = params.width;
  mve::RowScale halves[kRows];
  bool has_halves = true;
#pragma GCC unroll 2
  for (int row = 0; row < kRows; ++row) {
    const Moments moments = MomentsOf(x + row * width, width);
    ScaleRow(&halves[row], moments.sum, moments.squares, params);
    has_halves = has_halves && HasHalves<T>(halves[row].k);
  }
  const int whole = has_halves ? width & -mve::kNormalisedColumns : 0;
  if (whole > 0) mve::NormaliseRows(x, y, halves, &columns);
  if (whole == width) return;
  for (int row = 0; row < kRows; ++row) {
    NormaliseFrom(whole, columns, halves[row], x + row * width, y + row * width);
  }
}

#endif

}  // namespace

template <typename T>
void LayerNorm(const LayerNormParams& params, int tokens, const T* input, const int16_t* gamma,
               const int32_t* beta, int8_t* output) {
  const int width = params.width;
#ifdef MCUFORMER_CORTEX_M_MVE
  const mve::Columns columns = {gamma, beta, width};
  // The second of two rows of 16 bits, in place, would be overwritten before it is read.
  if (sizeof(T) == 1 || static_cast<const void*>(input) != output) {
    for (; tokens >= 2; tokens -= 2, input += 2 * width, output += 2 * width) {
      NormaliseRows<2>(params, columns, input, output);
    }
  }
  for (; tokens > 0; --tokens, input += width, output += width) {
    NormaliseRows<1>(params, columns, input, output);
  }
#else
  for (int token = 0; token < tokens; ++token, input += width, output += width) {
    const Moments moments = MomentsOf(input, width);
    const Normaliser by = NormaliserOf(width, moments.sum, ScaleOf(params, moments));
    const T* x = input;
    const int16_t* g = gamma;
    const int32_t* b = beta;
    int8_t* y = output;
    for (; x + kUnroll <= input + width; x += kUnroll, g += kUnroll, b += kUnroll, y += kUnroll) {
#pragma GCC unroll 4
      for (int i = 0; i < kUnroll; i += 2) NormalisePair(x + i, by, g + i, b + i, y + i);
    }
    for (; x != input + width; ++x, ++g, ++b, ++y) *y = Normalise(*x, by, *g, *b);
  }
#endif
}

template void LayerNorm<int8_t>(const LayerNormParams&, int, const int8_t*, const int16_t*,
                                const int32_t*, int8_t*);
template void LayerNorm<int16_t>(const LayerNormParams&, int, const int16_t*, const int16_t*,
                                 const int32_t*, int8_t*);

}  // namespace mcuformer
