"""The class token: learned, put before the patches, read at the end."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.quantization.fixed_point import saturate
from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, PassingLayer
from mcuformer_tflm.keras_models.quantization.scales import real_values


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ClassToken(PassingLayer):
    """Puts one learned token before the patches' tokens.

    float[batch, tokens, width] to float[batch, 1 + tokens, width]. The token's position is
    part of it. An input narrower than the token takes its leading entries. Quantized, it has the
    scale of the patches, whose range holds it: the patches' operator writes it before them.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the token, as wide as the input."""
        normal = tf.random_normal_initializer(stddev=0.02)
        self.token = self.add_weight("token", [input_shape[-1]], initializer=normal)
        if self.quantized:
            self.quantizer("output").beside = self.token
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Adds the token to every image."""
        width = inputs.shape[-1] or tf.shape(inputs)[-1]
        token = self.token
        if self.rounds:
            token = real_values(token, self.integer_token(), self.source())
        token = tf.reshape(token[:width], [1, 1, width])
        return tf.concat([tf.tile(token, [tf.shape(inputs)[0], 1, 1]), inputs], axis=1)

    def integer_token(self) -> tf.Tensor:
        """Returns the token as integers of the patches' scale, int32[width]."""
        stream = self.source()
        steps = tf.round(tf.cast(self.token, tf.float64) / stream.scale)
        return saturate(tf.cast(steps, tf.int64) + stream.zero_point, stream.num_bits)


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ClassTokenPool(PassingLayer):
    """float[batch, 1 + tokens, width] to the class token's float[batch, width].

    The normalisation before it needs no other token, and its operator leaves the others out.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes the first token."""
        return inputs[:, 0]
