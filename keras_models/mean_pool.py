"""The mean over tokens."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mcuformer_tflm.keras_models.quantizers import CalibratedQuantizer, QuantizableLayer


class MeanPool(QuantizableLayer):
    """float[batch, tokens, width] to float[batch, width].

    The integer operator is ``custom_ops/kernels/mean_pool``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output."""
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Averages the tokens of each image."""
        return self.fake_quantize("output", tf.reduce_mean(inputs, axis=1), training)
