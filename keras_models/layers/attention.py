"""Scaled dot-product attention on joint queries, keys and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mcuformer_tflm.custom_ops.reference.attention import (
    PROBABILITY_ONE,
    TABLE_SIZE,
    exp_table,
)
from mcuformer_tflm.keras_models.quantization.fixed_point import (
    exponent,
    integer_function,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    row_sums,
    saturate,
    shift_left,
    shift_right,
)
from mcuformer_tflm.keras_models.quantization.integer_matrix import rescale
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    CalibratedQuantizer,
    FixedRangeQuantizer,
    QuantizableLayer,
    Shape,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, integers, real_values

# The integer operator subtracts logits in steps of this size, in nats, and looks the
# exponential up in 256 entries; a probability is a multiple of 2^-15.
LOGIT_STEP = 0.05
_LOGIT_LIMIT = LOGIT_STEP * (2**15 - 1)


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Attention(QuantizableLayer):
    """softmax(q k^T / sqrt(head_dim)) v for every head.

    float[batch, tokens, 3 * heads * head_dim] in (queries, keys, values side by side),
    float[batch, tokens, heads * head_dim] out. The number of heads follows from the input's
    width. The integer operator is ``custom_ops/kernels/attention``.

    With a ``grid``, every head adds a learned bias to its logits that depends on how
    many rows and columns two patches lie apart (Liu et al., Swin Transformer, 2021), and three
    biases more for pairs with a class token.

    Args:
        head_dim: Width of one head.
        grid: Rows and columns of patches, for the bias; None leaves it out.
        class_token: Whether a class token precedes the patches.
        **kwargs: As for ``QuantizableLayer``.
    """

    def __init__(
        self,
        head_dim: int,
        grid: tuple[int, int] | None = None,
        *,
        class_token: bool = False,
        **kwargs: Any,
    ) -> None:
        """Makes the layer."""
        super().__init__(**kwargs)
        self.head_dim = head_dim
        self.grid = grid
        self.class_token = class_token

    def build(self, input_shape: Any) -> None:
        """Creates the quantizers, and the bias [heads, distances] where there is one."""
        if self.grid is not None:
            self.distances = _distances(self.grid, self.class_token)
            heads = input_shape[-1] // 3 // self.head_dim
            shape = [heads, int(self.distances.max()) + 1]
            self.relative_bias = self.add_weight("relative_bias", shape, initializer="zeros")
        fixed = FixedRangeQuantizer
        self.add_quantizer("relative_bias", fixed(16, -_LOGIT_LIMIT, _LOGIT_LIMIT, True))
        self.add_quantizer("logits", fixed(16, -_LOGIT_LIMIT, _LOGIT_LIMIT, True))
        self.add_quantizer("probabilities", fixed(15, 0.0, 1 - 2**-15, False))
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns that of the values, where all belongs to heads and the grid."""
        if [len(shape) for shape in shapes] != [3]:
            return None
        batch, tokens, width = shapes[0]
        if tokens is None or width is None:
            return None
        positions = tokens if self.grid is None else math.prod(self.grid) + self.class_token
        if width % (3 * self.head_dim) or tokens != positions:
            return None
        return batch, tokens, width // 3

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        *,
        head_dim: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Attends from every token to every token of the same image.

        Heads may be narrower than the layer's own: ``head_dim``, as in a supernet.
        """
        dim, scale = self.head_dim, self.head_dim**-0.5
        if head_dim is not None:
            dim, scale = head_dim, tf.math.rsqrt(tf.cast(head_dim, inputs.dtype))
        batch, tokens = tf.shape(inputs)[0], inputs.shape[1] or tf.shape(inputs)[1]
        # Unstacked, since the gradient of a slice fills a tensor of all three with zeros.
        query, key, value = tf.unstack(
            tf.transpose(tf.reshape(inputs, [batch, tokens, 3, -1, dim]), [2, 0, 3, 1, 4])
        )
        if self.simulates_integers:
            shape = [-1, tokens, inputs.shape[-1] // 3]
            return self._integer_attend(query, key, value, shape, training)
        logits = tf.matmul(query, key, transpose_b=True) * scale
        logits = self.fake_quantize("logits", logits, training)
        if self.grid is not None:
            bias = self.relative_bias[: tf.shape(query)[1]]
            bias = self.fake_quantize("relative_bias", bias, training)
            logits += tf.gather(bias, self.distances, axis=1)
        # In float32 whatever the layer computes in: small probabilities add up.
        probabilities = tf.cast(tf.nn.softmax(tf.cast(logits, tf.float32)), inputs.dtype)
        probabilities = self.fake_quantize("probabilities", probabilities, training)
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        if inputs.shape[-1]:
            context = tf.reshape(context, [batch, tokens, inputs.shape[-1] // 3])
        else:
            context = tf.reshape(context, [batch, tokens, tf.shape(inputs)[-1] // 3])
        return self.fake_quantize("output", context, training)

    @tf.autograph.experimental.do_not_convert
    def _integer_attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        shape: Sequence[int],
        training: bool | None,
    ) -> tf.Tensor:
        parts = self.source_parts()
        query, key, value = map(integers, (query, key, value), parts)
        scores = tf.matmul(query, key, transpose_b=True)
        step = parts[0].scale * parts[1].scale * self.head_dim**-0.5
        logits = self.fake_quantize("logits", scores * tf.cast(step, scores.dtype), training)
        multiplier, shift = score_multiplier(parts[0], parts[1], self.head_dim)
        steps = tf.constant(0, tf.int64)
        if self.grid is not None:
            bias = self.fake_quantize("relative_bias", self.relative_bias, training)
            logits += tf.gather(bias, self.distances, axis=1)
            steps = tf.gather(integer_bias(self.relative_bias), self.distances, axis=1)
        whole = integer_logits(tf.cast(scores, tf.int32), steps, multiplier, shift)
        # Outside the compiled functions: XLA's own maximum along rows is slow.
        greatest = tf.reduce_max(whole, -1, keepdims=True)
        table = tf.constant(exp_table(LOGIT_STEP), tf.int64)
        exact = integer_softmax(whole, greatest, table)
        probabilities = _probabilities(logits, tf.cast(exact, logits.dtype))
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        context = tf.reshape(context, shape)
        smooth = context * tf.cast(parts[2].scale / PROBABILITY_ONE, context.dtype)
        smooth = self.fake_quantize("output", smooth, training)
        output = self.tensor_quantization("output")
        exact = rescale(
            tf.cast(context, tf.int32),
            tf.constant(0, tf.int64),
            *context_multiplier(parts[2], output),
            output.zero_point,
            output.num_bits,
        )
        return real_values(smooth, exact, output)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        config = {
            "head_dim": self.head_dim,
            "grid": self.grid,
            "class_token": self.class_token,
        }
        return {**super().get_config(), **config}


def score_multiplier(
    query: Quantization, key: Quantization, head_dim: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns multiplier and shift from q k products to integer logits."""
    return quantize_multiplier(query.scale * key.scale * (head_dim**-0.5 / LOGIT_STEP))


def context_multiplier(value: Quantization, output: Quantization) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns multiplier and shift from 2^-15 times value to the output."""
    return quantize_multiplier(value.scale / PROBABILITY_ONE / output.scale)


@integer_function
def integer_logits(
    scores: tf.Tensor, bias: tf.Tensor, multiplier: tf.Tensor, shift: tf.Tensor
) -> tf.Tensor:
    """Returns the integer logits that the operator makes of products of queries and keys.

    Args:
        scores: int32[..., tokens], the products.
        bias: int64, added to the rescaled products (``integer_bias``).
        multiplier: int64, from products to logits (``score_multiplier``).
        shift: int64.

    Returns:
        int32[..., tokens] within 16 bits.
    """
    logits = multiply_by_quantized_multiplier(scores, multiplier, shift)
    return saturate(logits + bias, 16)


@integer_function
def integer_softmax(logits: tf.Tensor, greatest: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Returns what ``custom_ops/reference/attention.py: row_softmax`` gives.

    Args:
        logits: int32[..., tokens] (``integer_logits``).
        greatest: int32[..., 1], of each row.
        table: int64[256] (``exp_table``).

    Returns:
        int32[..., tokens] in units of 2^-15.
    """
    distance = tf.cast(greatest - logits, tf.int64)
    exponential = tf.gather(table, tf.minimum(distance, TABLE_SIZE - 1))
    total = row_sums(exponential)
    power = exponent(total) - 1
    normalised = shift_right(
        shift_left(total, tf.maximum(15 - power, 0)), tf.maximum(power - 15, 0)
    )
    inverse = (1 << 31) // normalised
    half = shift_left(tf.ones_like(power), power)
    scaled = shift_right(exponential * inverse + half, power + 1)
    return tf.cast(tf.minimum(scaled, PROBABILITY_ONE - 1), tf.int32)


@tf.custom_gradient
def _probabilities(logits: tf.Tensor, exact: tf.Tensor) -> Any:
    # The softmax of the logits in units of 2^-15, and its gradient from these very integers.
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        mean = tf.reduce_sum(upstream * exact, -1, keepdims=True) / PROBABILITY_ONE
        return exact * (upstream - mean), None

    return tf.identity(exact), gradient


def integer_bias(bias: tf.Tensor) -> tf.Tensor:
    """Returns position biases in steps of an integer logit, int64 within 16 bits."""
    steps = tf.round(tf.cast(bias, tf.float64) / LOGIT_STEP)
    return tf.cast(tf.clip_by_value(steps, 1 - 2**15, 2**15 - 1), tf.int64)


def _distances(grid: tuple[int, int], class_token: bool) -> np.ndarray:
    # int32[tokens, tokens]: the number of the bias for each pair.
    rows, columns = grid
    row, column = np.divmod(np.arange(rows * columns), columns)
    span = 2 * columns - 1
    pairs = (row[:, None] - row + rows - 1) * span + column[:, None] - column + columns - 1
    if not class_token:
        return pairs.astype(np.int32)
    pairs = np.pad(pairs, [[1, 0], [1, 0]])
    count = (2 * rows - 1) * span
    pairs[0, 1:], pairs[1:, 0], pairs[0, 0] = count, count + 1, count + 2
    return pairs.astype(np.int32)
