// Mean over square windows of a grid of tokens. Twin: custom_ops/reference/token_pool.py.
#ifndef MCUFORMER_KERNELS_TOKEN_POOL_H_
#define MCUFORMER_KERNELS_TOKEN_POOL_H_

#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

// A window's sum of differences to the zero point, 65,535 at most each, fits 32 bits.
constexpr int kTokenPoolMaxSize = 16;

struct TokenPoolParams {
  int rows;     // of windows
  int columns;  // of windows
  int size;     // tokens of a window's side, at most kTokenPoolMaxSize
  int width;
  int32_t input_zero_point;
  int32_t output_zero_point;
  QuantizedMultiplier output;  // input scale / output scale / size^2
};

// input: T[rows * size, columns * size, width], int8 (any alignment) or int16. output: T[rows,
// columns, width]; may start where the input starts. Scratch: none.
template <typename T>
void TokenPool(const TokenPoolParams& params, const T* input, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_TOKEN_POOL_H_
