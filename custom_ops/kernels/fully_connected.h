// Fully connected layer, in place where wanted (token overwriting, paper section 3.2).
// Twin: custom_ops/reference/fully_connected.py.
#ifndef MCUFORMER_KERNELS_FULLY_CONNECTED_H_
#define MCUFORMER_KERNELS_FULLY_CONNECTED_H_

#include <cstddef>
#include <cstdint>

#include "kernels/fixed_point.h"

namespace mcuformer {

struct FullyConnectedParams {
  int tokens;
  int width;  // of the input
  int units;  // of the output
  int32_t output_zero_point;
};

// Constants of one layer. bias has -input zero point * sum(weights) folded in.
struct FullyConnectedWeights {
  const int8_t* weights;      // [units, width], symmetric
  const int32_t* bias;        // [units]
  const int32_t* multiplier;  // [units]
  const int8_t* shift;        // [units], each in [-31, 31]
};

constexpr size_t FullyConnectedInPlaceScratchBytes(int width) { return width; }

// input: int8[tokens, width]. output: int8[tokens, units], apart from the input.
void FullyConnected(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                    const int8_t* input, int8_t* output);

// buffer: int8[tokens, width] becomes int8[tokens, units]. Each input row is copied to
// `scratch` (int8[width]) before its output row takes its place. Growing rows are walked last
// to first, shrinking rows first to last: so no row is overwritten before it was read.
void FullyConnectedInPlace(const FullyConnectedParams& params, const FullyConnectedWeights& weights,
                           int8_t* scratch, int8_t* buffer);

// output = residual + layer(input), T int8 or int16. residual, output: T[tokens, units]; may
// be the same. The multipliers include 2^kResidualFractionBits.
template <typename T>
void FullyConnectedResidual(const FullyConnectedParams& params,
                            const FullyConnectedWeights& weights, const ResidualScale& scale,
                            const int8_t* input, const T* residual, T* output);

}  // namespace mcuformer

#endif  // MCUFORMER_KERNELS_FULLY_CONNECTED_H_
