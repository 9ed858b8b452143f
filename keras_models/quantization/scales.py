"""Integers and the real values that they stand for.

Between layers travel real values, float32; each is an integer times a scale. A layer recovers
the integers, computes with them as its kernel does, and gives real values again; gradients take
the way of the real values.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Quantization:
    """real = scale * (integer - zero_point), per tensor.

    Attributes:
        scale: Real units an integer step: a number, or a float64 tensor.
        zero_point: Integer that stands for 0: a number, or an int64 tensor.
        num_bits: Width of the integer, 8 or 16.
    """

    scale: Any
    zero_point: Any = 0
    _: dataclasses.KW_ONLY
    num_bits: int = 8

    @property
    def dtype(self) -> str:
        """Name of the integer type."""
        return f"int{self.num_bits}"


def integers(x: tf.Tensor, quantization: Quantization) -> tf.Tensor:
    """Returns float32 integers less their zero point; gradients as of a division by the scale."""
    return _integers(x, tf.cast(quantization.scale, x.dtype))


def real_values(smooth: tf.Tensor, exact: tf.Tensor, quantization: Quantization) -> tf.Tensor:
    """Returns the real values of integers, with the gradient of another tensor.

    Args:
        smooth: What gradients flow through: nearly the same values.
        exact: Integers, zero point included.
        quantization: Theirs.
    """
    centred = tf.cast(exact - tf.cast(quantization.zero_point, exact.dtype), smooth.dtype)
    return straight_through(smooth, centred * tf.cast(quantization.scale, smooth.dtype))


@tf.custom_gradient
def straight_through(smooth: tf.Tensor, exact: tf.Tensor) -> Any:
    """Returns ``exact``; its gradient goes to ``smooth``."""
    return tf.identity(exact), lambda upstream: (upstream, None)


@tf.custom_gradient
def _integers(x: tf.Tensor, scale: tf.Tensor) -> Any:
    return tf.round(x / scale), lambda upstream: (upstream / scale, None)
