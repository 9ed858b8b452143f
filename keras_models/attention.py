"""Scaled dot-product attention on joint queries, keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.quantizers import (
    CalibratedQuantizer,
    FixedRangeQuantizer,
    QuantizableLayer,
)

# The integer operator subtracts logits in steps of this size, in nats, and looks the
# exponential up in 256 entries; a probability is a multiple of 2^-15.
LOGIT_STEP = 0.05
_LOGIT_LIMIT = LOGIT_STEP * (2**15 - 1)


class Attention(QuantizableLayer):
    """softmax(q k^T / sqrt(head_dim)) v for every head.

    float[batch, tokens, 3 * heads * head_dim] in (queries, keys, values side by side),
    float[batch, tokens, heads * head_dim] out. The number of heads follows from the input's
    width. The integer operator is ``custom_ops/kernels/attention``.

    With a ``grid``, every head adds a learned bias to its logits that depends on how
    many rows and columns two patches lie apart (Liu et al., Swin Transformer, 2021), and three
    biases more for pairs with a class token. There is no integer operator for it.

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
        self.add_quantizer("logits", fixed(16, -_LOGIT_LIMIT, _LOGIT_LIMIT, True))
        self.add_quantizer("probabilities", fixed(15, 0.0, 1 - 2**-15, False))
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Attends from every token to every token of the same image."""
        batch, tokens = tf.shape(inputs)[0], inputs.shape[1] or tf.shape(inputs)[1]
        # Unstacked, since the gradient of a slice fills a tensor of all three with zeros.
        query, key, value = tf.unstack(
            tf.transpose(tf.reshape(inputs, [batch, tokens, 3, -1, self.head_dim]), [2, 0, 3, 1, 4])
        )
        logits = tf.matmul(query, key, transpose_b=True) * self.head_dim**-0.5
        if self.grid is not None:
            bias = self.relative_bias[: tf.shape(query)[1]]
            logits += tf.gather(bias, self.distances, axis=1)
        logits = self.fake_quantize("logits", logits, training)
        # In float32 whatever the layer computes in: small probabilities add up.
        probabilities = tf.cast(tf.nn.softmax(tf.cast(logits, tf.float32)), inputs.dtype)
        probabilities = self.fake_quantize("probabilities", probabilities, training)
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        if inputs.shape[-1]:
            context = tf.reshape(context, [batch, tokens, inputs.shape[-1] // 3])
        else:
            context = tf.reshape(context, [batch, tokens, tf.shape(inputs)[-1] // 3])
        return self.fake_quantize("output", context, training)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        config = {
            "head_dim": self.head_dim,
            "grid": self.grid,
            "class_token": self.class_token,
        }
        return {**super().get_config(), **config}


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
