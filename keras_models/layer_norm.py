"""Layer normalisation over the last axis."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mcuformer_tflm.keras_models.quantization_config import INT8
from mcuformer_tflm.keras_models.quantizers import CalibratedQuantizer, QuantizableLayer

EPSILON = 1e-6


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

    def build(self, input_shape: Any) -> None:
        """Creates gamma and beta as wide as the input."""
        width = input_shape[-1]
        self.gamma = self.add_weight("gamma", [width], initializer="ones")
        self.beta = self.add_weight("beta", [width], initializer="zeros")
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

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
        return self.fake_quantize("output", outputs, training)
