"""Layer normalisation over the last axis."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.custom_ops.reference.integer_sqrt import MAX_ITERATIONS
from mcuformer_tflm.custom_ops.reference.layer_norm import (
    MAX_BETA,
    MAX_EPSILON,
    MAX_NORMALISED_BITS,
)
from mcuformer_tflm.keras_models.quantization.config import INT8
from mcuformer_tflm.keras_models.quantization.fixed_point import (
    constant_function,
    exponent,
    integer_function,
    row_sums,
    saturate,
    shift_left,
    shift_right,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    CalibratedQuantizer,
    QuantizableLayer,
    Shape,
)
from mcuformer_tflm.keras_models.quantization.scales import integers, real_values

EPSILON = 1e-6


@tf_keras.utils.register_keras_serializable(PACKAGE)
class LayerNorm(QuantizableLayer):
    """Normalises each token; float[batch, tokens, width] in and out.

    Weights are as wide as the widest network; an input narrower than that takes the leading
    entries, as in a weight-entangled supernet. The integer operator is
    ``custom_ops/kernels/layer_norm``.
    """

    @property
    def iterations(self) -> int:
        """Steps of the integer root; 0 goes on until it is fixed."""
        return (self.quantization or INT8).layer_norm_iterations

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that its input may have: it reads the residual stream."""
        return (8, 16)

    def build(self, input_shape: Any) -> None:
        """Creates gamma and beta as wide as the input."""
        width = input_shape[-1]
        self.gamma = self.add_weight("gamma", [width], initializer="ones")
        self.beta = self.add_weight("beta", [width], initializer="zeros")
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns the input's shape."""
        return shapes[0] if len(shapes) == 1 else None

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the normalised tokens."""
        width = inputs.shape[-1] or tf.shape(inputs)[-1]
        dtype = inputs.dtype
        inputs = tf.cast(inputs, tf.float32)  # sums of squares overflow and vanish in less
        mean = tf.reduce_mean(inputs, axis=-1, keepdims=True)
        centred = inputs - mean
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        normalised = tf.cast(centred * tf.math.rsqrt(variance + EPSILON), dtype)
        outputs = normalised * self.gamma[:width] + self.beta[:width]
        smooth = self.fake_quantize("output", outputs, training)
        if not self.simulates_integers:
            return smooth
        return self._integer_call(inputs, smooth)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, inputs: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
        source, output = self.source(), self.tensor_quantization("output")
        width = inputs.shape[-1]
        # The zero point does not matter: it falls out with the mean.
        x = tf.reshape(tf.cast(integers(inputs, source), tf.int32), [-1, width])
        folded = fold_layer_norm(self.gamma, self.beta, output.scale, output.zero_point)
        epsilon = integer_epsilon(width, source.scale)
        exact = integer_layer_norm(x, *folded, epsilon, self.iterations)
        return real_values(smooth, tf.reshape(exact, tf.shape(smooth)), output)


@constant_function
def fold_layer_norm(
    gamma: tf.Tensor, beta: tf.Tensor, output_scale: tf.Tensor, output_zero_point: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what ``custom_ops/reference/layer_norm.py: fold_layer_norm`` gives, int64."""
    gain = tf.cast(gamma, tf.float64) / output_scale
    bits = tf.clip_by_value(9 + exponent(tf.reduce_max(tf.abs(gain))), 0, MAX_NORMALISED_BITS)
    one = tf.cast(shift_left(tf.constant(1, tf.int64), 24 - bits), tf.float64)
    fixed_gain = tf.clip_by_value(tf.round(gain * one), -(2.0**15), 2.0**15 - 1)
    shift = tf.round(tf.cast(beta, tf.float64) / output_scale * 256)
    shift += tf.cast(256 * output_zero_point + 128, tf.float64)
    shift = tf.clip_by_value(shift, -MAX_BETA, MAX_BETA)
    return tf.cast(fixed_gain, tf.int64), tf.cast(shift, tf.int64), bits


@constant_function
def integer_epsilon(width: int, input_scale: tf.Tensor) -> tf.Tensor:
    """Returns epsilon in the units of the operator's variance, (width * integer)^2; int64."""
    ratio = width / input_scale
    return tf.cast(tf.minimum(tf.round(EPSILON * (ratio * ratio)), MAX_EPSILON), tf.int64)


@integer_function
def integer_layer_norm(
    x: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    normalised_bits: tf.Tensor,
    epsilon: tf.Tensor,
    iterations: int,
) -> tf.Tensor:
    """Returns what ``custom_ops/reference/layer_norm.py: layer_norm`` gives.

    Args:
        x: int32[rows, width], with or without zero point.
        gamma: int64[width].
        beta: int64[width].
        normalised_bits: int64.
        epsilon: int64.
        iterations: Of the root; 0 until it is fixed.

    Returns:
        int32[rows, width] within int8.
    """
    width = x.shape[-1] or tf.cast(tf.shape(x)[-1], tf.int64)
    wide = tf.cast(x, tf.int64)
    total = row_sums(wide)
    centred = width * wide - total
    variance = width * row_sums(wide * wide) - total * total + epsilon
    occupied = variance > 0
    up = tf.bitwise.bitwise_and(32 - exponent(variance), tf.constant(~1, tf.int64))
    mantissa = shift_right(shift_left(variance, tf.maximum(up, 0)), tf.maximum(-up, 0))
    root = integer_sqrt(tf.where(occupied, mantissa, tf.ones_like(mantissa)), iterations)
    inverse = shift_right((1 << 46) // root, 23 - normalised_bits)
    product = shift_left(centred, shift_right(up, 1) + 9) * inverse
    normalised = tf.cast(occupied, tf.int64) * shift_right(product + (1 << 31), 32)
    scaled = shift_right(normalised * gamma, 16) + beta
    return saturate(shift_right(scaled, 8))


def integer_sqrt(n: tf.Tensor, iterations: int) -> tf.Tensor:
    """Returns what ``custom_ops/reference/integer_sqrt.py: integer_sqrt`` gives, int64."""
    power = exponent(n - 1)  # ceil(log2 n)
    x = shift_left(tf.ones_like(n), shift_right(power + 1, 1))
    for _ in range(iterations or MAX_ITERATIONS):
        following = shift_right(x + n // x, 1)
        x = following if iterations else tf.minimum(x, following)
    return x
