"""Fixed-point arithmetic in TensorFlow.

The names and results are those of ``custom_ops/reference/fixed_point.py``, its specification,
which says what each does. Everything is int64 and broadcasts, unless said otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    RESIDUAL_FRACTION_BITS,
)

_EXPONENT_MASK = 0x7FF
_MANTISSA_BITS = 52


def integer_function(function: Callable[..., Any]) -> Any:
    """Compiles a function of integer tensors with XLA, which makes one loop of it.

    TensorFlow's own 64-bit integer operators would take a pass each, ten times as long in all.
    Integers have no gradient, so no tape follows what happens inside.
    """
    return tf.function(function, autograph=False, jit_compile=True, reduce_retracing=True)


def constant_function(function: Callable[..., Any]) -> Any:
    """Makes one node of the graph of a function that computes constants from ranges.

    A network has hundreds of them; traced one operator at a time they would take longer than
    the whole rest. XLA has no part in them: it would round divisions by constants its own way.
    """
    compiled = tf.function(function, autograph=False, reduce_retracing=True)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return compiled(*map(_value, args))

    return call


def _value(x: Any) -> Any:
    # A compiled function would be one for each variable and each float.
    if isinstance(x, tf.Variable):
        return tf.convert_to_tensor(x)
    return tf.constant(x, tf.float64) if isinstance(x, float) else x


def row_sums(x: tf.Tensor) -> tf.Tensor:
    """Returns the sums along the last axis, kept: int64[..., 1] of integers below 2^53 in all.

    As a product with ones: of a plain sum along rows XLA makes a window that slides.
    """
    ones = tf.ones([x.shape[-1] or tf.shape(x)[-1], 1], tf.float64)
    wide = tf.cast(x, tf.float64)
    sums = tf.matmul(tf.reshape(wide, [-1, tf.shape(x)[-1]]), ones)
    return tf.cast(tf.reshape(sums, tf.concat([tf.shape(x)[:-1], [1]], 0)), tf.int64)


def shift_left(x: Any, bits: Any) -> tf.Tensor:
    """Returns ``x`` times 2^bits."""
    return tf.bitwise.left_shift(x, tf.cast(bits, tf.int64))


def shift_right(x: Any, bits: Any) -> tf.Tensor:
    """Returns floor(x / 2^bits)."""
    return tf.bitwise.right_shift(x, tf.cast(bits, tf.int64))


def exponent(x: tf.Tensor) -> tf.Tensor:
    """Returns the exponent that ``frexp`` gives, int64: x lies in [2^(e - 1), 2^e).

    Args:
        x: float64 from 0, or integers of [0, 2^53); of 0 the exponent is 0.
    """
    x = tf.cast(x, tf.float64)
    bits = tf.bitcast(x, tf.int64)
    biased = tf.bitwise.bitwise_and(shift_right(bits, _MANTISSA_BITS), _EXPONENT_MASK)
    return tf.where(x > 0, biased - 1022, tf.zeros_like(biased))


@constant_function
def quantize_multiplier(real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits factors into (multipliers, shifts).

    Args:
        real: float64, zero or positive.
    """
    real = tf.convert_to_tensor(real, tf.float64)
    shift = exponent(real)
    fraction = tf.bitwise.bitwise_and(tf.bitcast(real, tf.int64), (1 << _MANTISSA_BITS) - 1)
    mantissa = tf.bitcast(
        tf.bitwise.bitwise_or(fraction, tf.constant(1022 << _MANTISSA_BITS, tf.int64)), tf.float64
    )
    multiplier = tf.cast(tf.round(mantissa * 2.0**31), tf.int64)
    carried = multiplier == 1 << 31
    multiplier = tf.where(carried, shift_right(multiplier, 1), multiplier)
    shift = shift + tf.cast(carried, tf.int64)
    multiplier = tf.where(shift > 31, tf.constant(INT32_MAX, tf.int64), multiplier)
    kept = tf.cast((real != 0) & (shift >= -31), tf.int64)
    return kept * multiplier, kept * tf.minimum(shift, 31)


def multiply_by_quantized_multiplier(x: Any, multiplier: Any, shift: Any) -> tf.Tensor:
    """Returns round(x * multiplier * 2^(shift - 31)), doubly rounded."""
    shift = tf.convert_to_tensor(shift, tf.int64)
    shifted = shift_left(tf.cast(x, tf.int64), tf.maximum(shift, 0))
    product = tf.clip_by_value(shifted, INT32_MIN, INT32_MAX) * multiplier
    # Rounding half up by a shift is the same as the twin's nudge and division towards zero.
    high = shift_right(product + (1 << 30), 31)
    return rounding_divide_by_pot(high, tf.maximum(-shift, 0))


def rounding_divide_by_pot(x: tf.Tensor, power: Any) -> tf.Tensor:
    """Returns x / 2^power, rounded to nearest, ties away from zero; power in [0, 31]."""
    power = tf.convert_to_tensor(power, tf.int64)
    mask = shift_left(tf.ones_like(power), power) - 1
    threshold = shift_right(mask, 1) + tf.cast(x < 0, tf.int64)
    rest = tf.bitwise.bitwise_and(x, mask)
    return shift_right(x, power) + tf.cast(rest > threshold, tf.int64)


def residual_add(
    accumulator: Any,
    multiplier: Any,
    shift: Any,
    residual: Any,
    residual_multiplier: Any,
    residual_shift: Any,
) -> tf.Tensor:
    """Returns the rescaled sum of accumulator and residual, the latter's zero point taken out."""
    rescaled = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    rescaled += multiply_by_quantized_multiplier(residual, residual_multiplier, residual_shift)
    rescaled = tf.clip_by_value(rescaled, INT32_MIN, INT32_MAX)
    return rounding_divide_by_pot(rescaled, RESIDUAL_FRACTION_BITS)


def saturate(x: tf.Tensor, num_bits: Any = 8) -> tf.Tensor:
    """Returns ``x`` clipped to a signed integer of that many bits, int32."""
    limit = 1 << (num_bits - 1)
    return tf.cast(tf.clip_by_value(x, -limit, limit - 1), tf.int32)
