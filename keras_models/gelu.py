"""The sigmoid form of GELU."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mcuformer_tflm.keras_models.quantizers import CalibratedQuantizer, QuantizableLayer


class Gelu(QuantizableLayer):
    """x * sigmoid(1.702 x) (paper, Eq. 7 as intended); any shape.

    The integer operator is ``custom_ops/kernels/gelu``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output."""
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Applies the activation element by element."""
        return self.fake_quantize("output", inputs * tf.sigmoid(1.702 * inputs), training)
