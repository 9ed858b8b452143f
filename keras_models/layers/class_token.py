"""The class token: learned, put before the patches, read at the end."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, QuantizableLayer


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ClassToken(QuantizableLayer):
    """Puts one learned token before the patches' tokens.

    float[batch, tokens, width] to float[batch, 1 + tokens, width]. The token's position is
    part of it. An input narrower than the token takes its leading entries. There is no
    integer operator: the exporter refuses it.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the token, as wide as the input."""
        normal = tf.random_normal_initializer(stddev=0.02)
        self.token = self.add_weight("token", [input_shape[-1]], initializer=normal)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Adds the token to every image."""
        width = inputs.shape[-1] or tf.shape(inputs)[-1]
        token = tf.reshape(self.token[:width], [1, 1, width])
        return tf.concat([tf.tile(token, [tf.shape(inputs)[0], 1, 1]), inputs], axis=1)


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ClassTokenPool(QuantizableLayer):
    """float[batch, 1 + tokens, width] to the class token's float[batch, width]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes the first token."""
        return inputs[:, 0]
