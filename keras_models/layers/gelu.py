"""The sigmoid form of GELU."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.quantization.fixed_point import (
    constant_function,
    integer_function,
    saturate,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    CalibratedQuantizer,
    QuantizableLayer,
    Shape,
)
from mcuformer_tflm.keras_models.quantization.scales import integers, real_values


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Gelu(QuantizableLayer):
    """x * sigmoid(1.702 x) (paper, Eq. 7 as intended); any shape.

    The integer operator is ``custom_ops/kernels/gelu``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output."""
        self.add_quantizer("output", CalibratedQuantizer())
        super().build(input_shape)

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns the input's shape."""
        return shapes[0] if len(shapes) == 1 else None

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Applies the activation element by element."""
        smooth = inputs * tf.sigmoid(1.702 * inputs)
        smooth = self.fake_quantize("output", smooth, training)
        if not self.simulates_integers:
            return smooth
        return self._integer_call(inputs, smooth)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, inputs: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
        source, output = self.source(), self.tensor_quantization("output")
        table = gelu_table(source.scale, source.zero_point, output.scale, output.zero_point)
        x = tf.cast(integers(inputs, source), tf.int32) + tf.cast(source.zero_point, tf.int32)
        return real_values(smooth, look_up(x, table), output)


@integer_function
def look_up(x: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Returns the table's entries, int32, of values int32 in [-128, 128)."""
    return tf.gather(table, x + 128)


@constant_function
def gelu_table(
    input_scale: tf.Tensor,
    input_zero_point: tf.Tensor,
    output_scale: tf.Tensor,
    output_zero_point: tf.Tensor,
) -> tf.Tensor:
    """Returns int32[256]: what ``custom_ops/reference/gelu.py: gelu_table`` gives."""
    x = tf.cast(tf.range(-128, 128, dtype=tf.int64) - input_zero_point, tf.float64) * input_scale
    y = x / (1 + tf.exp(-1.702 * x))
    return saturate(tf.cast(tf.round(y / output_scale), tf.int64) + output_zero_point)
