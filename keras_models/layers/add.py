"""The sum of two branches."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.fixed_point import (
    constant_function,
    integer_function,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    saturate,
    shift_left,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    QuantizableLayer,
    residual_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import integers, real_values


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Add(QuantizableLayer):
    """Adds two tensors of one shape, each of a scale of its own: ``Add()([first, second])``.

    Both are parts of the residual stream, and so is the sum. Where one of them comes from a
    ``FullyConnected``, that adds the other one itself, for less. The integer operator is
    ``custom_ops/kernels/add``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output.

        Raises:
            ConfigError: If there are not two inputs of one shape.
        """
        shapes = [tuple(shape[1:]) for shape in input_shape] if _several(input_shape) else []
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ConfigError(
                f"{self.name} adds {' and '.join(map(str, shapes)) or 'one tensor'}; it takes a "
                "list of two tensors of one shape."
            )
        self.add_quantizer("output", residual_quantizer(self.quantization))
        super().build(input_shape)

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that one input may have: that of the stream."""
        return (self.output_bits,)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Adds element by element."""
        first, second = inputs
        smooth = self.fake_quantize("output", first + second, training)
        if not self.simulates_integers:
            return smooth
        return self._integer_call(first, second, smooth)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, first: tf.Tensor, second: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
        sources, output = [self.source(0), self.source(1)], self.tensor_quantization("output")
        whole = [
            tf.cast(integers(x, source), tf.int32)
            for x, source in zip((first, second), sources, strict=True)
        ]
        left = _LEFT_SHIFT[output.num_bits]
        factors = add_multipliers(sources[0].scale, sources[1].scale, output.scale, left)
        exact = integer_sum(*whole, *factors, output.zero_point, left, output.num_bits)
        return real_values(smooth, exact, output)


# Fractional bits of a summand by the width of the integers, as TFLite takes them.
_LEFT_SHIFT = {8: 20, 16: 15}


@constant_function
def add_multipliers(
    first: tf.Tensor, second: tf.Tensor, output: tf.Tensor, left_shift: int
) -> tuple[tf.Tensor, ...]:
    """Returns the multipliers and shifts of ``custom_ops/reference/add.py: add_options``.

    Args:
        first: float64 scale of the first summand.
        second: Of the second.
        output: Of the sum.
        left_shift: Fractional bits of a summand.
    """
    # The scales that a model file holds.
    scales = [tf.cast(tf.cast(scale, tf.float32), tf.float64) for scale in (first, second, output)]
    shared = 2 * tf.maximum(scales[0], scales[1])
    factors = (scales[0] / shared, scales[1] / shared, shared / (scales[2] * 2.0**left_shift))
    return tuple(part for factor in factors for part in quantize_multiplier(factor))


@integer_function
def integer_sum(
    first: tf.Tensor,
    second: tf.Tensor,
    first_multiplier: tf.Tensor,
    first_shift: tf.Tensor,
    second_multiplier: tf.Tensor,
    second_shift: tf.Tensor,
    output_multiplier: tf.Tensor,
    output_shift: tf.Tensor,
    zero_point: tf.Tensor,
    left_shift: int,
    num_bits: int,
) -> tf.Tensor:
    """Returns what ``custom_ops/reference/add.py: add`` gives, int32 of the summands' shape.

    Args:
        first: int32, its zero point taken out.
        second: The same.
        first_multiplier: int64, as the others (``add_multipliers``).
        first_shift: Of the multiplier.
        second_multiplier: For ``second``.
        second_shift: Of the multiplier.
        output_multiplier: For the sum.
        output_shift: Of the multiplier.
        zero_point: int64, of the output.
        left_shift: Fractional bits of a summand.
        num_bits: Of the output.
    """
    raised = [shift_left(tf.cast(x, tf.int64), left_shift) for x in (first, second)]
    total = multiply_by_quantized_multiplier(raised[0], first_multiplier, first_shift)
    total += multiply_by_quantized_multiplier(raised[1], second_multiplier, second_shift)
    total = multiply_by_quantized_multiplier(total, output_multiplier, output_shift)
    return saturate(total + zero_point, num_bits)


def _several(input_shape: Any) -> bool:
    return isinstance(input_shape, list | tuple) and all(
        isinstance(shape, list | tuple | tf.TensorShape) for shape in input_shape
    )
