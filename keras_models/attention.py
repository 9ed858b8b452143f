"""Scaled dot-product attention on joint queries, keys and values."""

from __future__ import annotations

from typing import Any

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

    Args:
        head_dim: Width of one head.
        quantized: Whether logits, probabilities and context are fake-quantized.
        **kwargs: As for Keras' Layer.
    """

    def __init__(self, head_dim: int, quantized: bool = False, **kwargs: Any) -> None:
        """Makes the layer."""
        super().__init__(quantized=quantized, **kwargs)
        self.head_dim = head_dim

    def build(self, input_shape: Any) -> None:
        """Creates the quantizers."""
        fixed = FixedRangeQuantizer
        self.add_quantizer("logits", fixed(16, -_LOGIT_LIMIT, _LOGIT_LIMIT, True))
        self.add_quantizer("probabilities", fixed(15, 0.0, 1 - 2**-15, False))
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Attends from every token to every token of the same image."""
        batch, tokens = tf.shape(inputs)[0], inputs.shape[1] or tf.shape(inputs)[1]
        qkv = tf.transpose(
            tf.reshape(inputs, [batch, tokens, 3, -1, self.head_dim]), [2, 0, 3, 1, 4]
        )
        logits = tf.matmul(qkv[0], qkv[1], transpose_b=True) * self.head_dim**-0.5
        logits = self.fake_quantize("logits", logits, training)
        probabilities = self.fake_quantize("probabilities", tf.nn.softmax(logits), training)
        context = tf.transpose(tf.matmul(probabilities, qkv[2]), [0, 2, 1, 3])
        if inputs.shape[-1]:
            context = tf.reshape(context, [batch, tokens, inputs.shape[-1] // 3])
        else:
            context = tf.reshape(context, [batch, tokens, tf.shape(inputs)[-1] // 3])
        return self.fake_quantize("output", context, training)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        return {**super().get_config(), "head_dim": self.head_dim}
