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
        total = tf.reduce_sum(integers(inputs, self.source()), axis=1)
        return integer_mean(self, total, inputs.shape[1], training)


def integer_mean(
    layer: QuantizableLayer, total: tf.Tensor, tokens: int, training: bool | None
) -> tf.Tensor:
    """Returns a layer's mean of tokens as its operator gives it.

    Args:
        layer: With one input, and a quantizer of its output.
        total: Sums over the tokens of the input's integers, less their zero point.
        tokens: How many each sum is of.
        training: As in Keras.
    """
    source = layer.source()
    smooth = total * tf.cast(source.scale / tokens, total.dtype)
    smooth = layer.fake_quantize("output", smooth, training)
    output = layer.tensor_quantization("output")
    exact = rescale(
        tf.cast(total, tf.int32),
        tf.constant(0, tf.int64),
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
