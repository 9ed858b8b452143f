"""The mean over tokens."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.quantization.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.quantization.integer_matrix import rescale
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    CalibratedQuantizer,
    QuantizableLayer,
    Shape,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, integers, real_values


@tf_keras.utils.register_keras_serializable(PACKAGE)
class MeanPool(QuantizableLayer):
    """float[batch, tokens, width] to float[batch, width].

    The integer operator is ``custom_ops/kernels/mean_pool``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output."""
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns that of one token."""
        if [len(shape) for shape in shapes] != [3]:
            return None
        batch, _, width = shapes[0]
        return batch, width

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Averages the tokens of each image."""
        if not self.simulates_integers:
            return self.fake_quantize("output", tf.reduce_mean(inputs, axis=1), training)
        return self._integer_call(inputs, training)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, inputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        source, tokens = self.source(), inputs.shape[1]
        total = tf.reduce_sum(integers(inputs, source), axis=1)
        smooth = total * tf.cast(source.scale / tokens, inputs.dtype)
        smooth = self.fake_quantize("output", smooth, training)
        output = self.tensor_quantization("output")
        nothing = tf.constant(0, tf.int64)
        exact = rescale(
            tf.cast(total, tf.int32),
            nothing,
            *mean_multiplier(source, output, tokens),
            output.zero_point,
            output.num_bits,
        )
        return real_values(smooth, exact, output)


def mean_multiplier(
    source: Quantization, output: Quantization, tokens: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns multiplier and shift from the sum of the tokens to the output."""
    return quantize_multiplier(source.scale / output.scale / tokens)
