"""The integer constants of a matrix product, as kernels read them and training simulates them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    RESIDUAL_FRACTION_BITS,
)
from mcuformer_tflm.keras_models.quantization.fixed_point import (
    constant_function,
    integer_function,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    residual_add,
    saturate,
)
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer
from mcuformer_tflm.keras_models.quantization.scales import Quantization, straight_through

# Both summands of a residual addition are held with 8 fractional bits.
RESIDUAL_ONE = 1 << RESIDUAL_FRACTION_BITS
# float32 holds all integers up to here, so sums below it are exact in any order.
_EXACT_IN_FLOAT32 = 2**24


@dataclasses.dataclass(frozen=True)
class IntegerMatrix:
    """A layer's kernel and bias as integers; units are the last axis.

    Attributes:
        weights: float64 integers of the kernel's shape, symmetric.
        scales: float64[units] of the weights.
        bias: int64[units], the input's zero point folded in.
        centred_bias: int64[units]: the same for inputs whose zero point is taken out already.
        source: Quantization of the input.
    """

    weights: tf.Tensor
    scales: tf.Tensor
    bias: tf.Tensor
    centred_bias: tf.Tensor
    source: Quantization

    def accumulate(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the exact products of integers, without bias: float[rows, units].

        Args:
            x: float32[rows, width] integers less their zero point.
            kernel: The layer's kernel after its quantizer, which gets the gradient.
        """
        x, weights = self.exact_factors(x, kernel)
        return tf.matmul(x, tf.reshape(weights, [-1, kernel.shape[-1]]))

    def exact_factors(self, x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns ``x`` and the weights' integers in a type that holds all sums of products.

        Args:
            x: float32 integers less their zero point.
            kernel: As for ``accumulate``, whose shape the weights have.
        """
        scales = tf.cast(self.scales, kernel.dtype)
        weights = straight_through(kernel / scales, tf.cast(self.weights, kernel.dtype))
        if 255 * 127 * math.prod(kernel.shape[:-1]) >= _EXACT_IN_FLOAT32:
            return tf.cast(x, tf.float64), tf.cast(weights, tf.float64)
        return x, weights

    def real_values(self, accumulator: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Returns an accumulator in real units, float32, and the layer's bias added."""
        scales = tf.cast(self.scales * self.source.scale, tf.float32)
        return tf.cast(accumulator, tf.float32) * scales + bias

    def multipliers(
        self, outputs: Sequence[Quantization], residual: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns multiplier and shift of each unit, from accumulator to output.

        Args:
            outputs: Quantization of the output, or of each equal group of its units.
            residual: Whether a residual is added, which keeps 8 fractional bits.
        """
        factors = self.scales * self.source.scale / column_scales(outputs, self.scales)
        return quantize_multiplier(factors * RESIDUAL_ONE if residual else factors)


def integer_matrix(
    layer: QuantizableLayer, source: Quantization, *, kernel: str = "kernel", bias: str = "bias"
) -> IntegerMatrix:
    """Quantizes kernel [..., units] and bias [units] of a layer for an input of ``source``.

    Args:
        layer: Whose they are.
        source: Quantization of the input.
        kernel: Name of the kernel and of its quantizer.
        bias: Name of the bias.
    """
    weights, scales = layer.integer_kernel(kernel)
    scale = tf.convert_to_tensor(source.scale, tf.float64)
    zero_point = tf.convert_to_tensor(source.zero_point, tf.int64)
    folded, centred = _fold_bias(getattr(layer, bias), weights, scales, scale, zero_point)
    return IntegerMatrix(weights, scales, folded, centred, Quantization(scale, zero_point))


def column_scales(parts: Sequence[Quantization], units: tf.Tensor) -> tf.Tensor:
    """Returns the scale of each of as many units as a vector has, in equal groups."""
    if len(parts) == 1:
        return parts[0].scale
    scales = tf.stack([tf.convert_to_tensor(part.scale, tf.float64) for part in parts])
    return tf.repeat(scales, tf.size(units) // len(parts))


@constant_function
def _fold_bias(
    bias: tf.Tensor, weights: tf.Tensor, scales: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    # With the input's zero point folded in and without; saturated with it.
    sums = tf.reduce_sum(tf.reshape(weights, [-1, tf.shape(weights)[-1]]), 0)
    moved = tf.cast(zero_point, tf.float64) * sums
    folded = tf.round(tf.cast(bias, tf.float64) / (scales * scale)) - moved
    folded = tf.clip_by_value(folded, INT32_MIN, INT32_MAX)
    return tf.cast(folded, tf.int64), tf.cast(folded + moved, tf.int64)


def residual_multiplier(
    residual: Quantization, output: Quantization
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns multiplier and shift that bring a residual to the output's units, times 2^8."""
    return quantize_multiplier(residual.scale / output.scale * RESIDUAL_ONE)


@integer_function
def rescale(
    accumulator: tf.Tensor,
    bias: tf.Tensor,
    multiplier: tf.Tensor,
    shift: tf.Tensor,
    zero_point: tf.Tensor,
    num_bits: int,
) -> tf.Tensor:
    """Returns the output's integers, int32[rows, units], of an accumulator int32[rows, units]."""
    sums = tf.cast(accumulator, tf.int64) + bias
    return saturate(
        multiply_by_quantized_multiplier(sums, multiplier, shift) + zero_point, num_bits
    )


@integer_function
def rescale_and_add(
    accumulator: tf.Tensor,
    bias: tf.Tensor,
    multiplier: tf.Tensor,
    shift: tf.Tensor,
    residual: tf.Tensor,
    residual_multiplier: tf.Tensor,
    residual_shift: tf.Tensor,
    zero_point: tf.Tensor,
    num_bits: int,
) -> tf.Tensor:
    """Returns the integers of the output, int32[rows, units], with a residual added.

    Args:
        accumulator: int32[rows, units].
        bias: int64[units].
        multiplier: int64[units], times 2^8.
        shift: int64[units].
        residual: int32, broadcast to [rows, units], its zero point taken out.
        residual_multiplier: int64, times 2^8.
        residual_shift: int64.
        zero_point: int64, of the output.
        num_bits: Of the output.
    """
    sums = tf.cast(accumulator, tf.int64) + bias
    added = residual_add(sums, multiplier, shift, residual, residual_multiplier, residual_shift)
    return saturate(added + zero_point, num_bits)
