"""Fully connected layer on tokens, with an optional residual."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.quantization.config import INT8
from mcuformer_tflm.keras_models.quantization.integer_matrix import (
    column_scales,
    integer_matrix,
    rescale,
    rescale_and_add,
    residual_multiplier,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    CalibratedQuantizer,
    QuantizableLayer,
    Shape,
    residual_quantizer,
    weight_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, integers, real_values


class Heads(NamedTuple):
    """Which heads of a supernet a subnet has: the leading ones, and of each the leading values.

    Attributes:
        count: Number of heads, and
        dim: width of one, integer tensors.
        most: Both of the supernet.
    """

    count: tf.Tensor
    dim: tf.Tensor
    most: tuple[int, int]


@tf_keras.utils.register_keras_serializable(PACKAGE)
class FullyConnected(QuantizableLayer):
    """``x @ kernel + bias``, then the residual added if one is given.

    float[..., width] in, float[..., units] out. In a supernet the input may be narrower than
    the kernel and ``units`` smaller: the leading rows and columns are taken, in each of the
    ``parts`` equal column groups (queries, keys and values lie in three groups), and in each of the
    ``heads`` that a part, or of one part the input, is made of. The integer operator is
    ``custom_ops/kernels/fully_connected``.

    Args:
        units: Width of the output, over all parts.
        parts: Number of column groups; each has a symmetric range of its own when above 1.
        **kwargs: As for ``QuantizableLayer``.
    """

    def __init__(self, units: int, parts: int = 1, **kwargs: Any) -> None:
        """Makes the layer; weights come with the first input."""
        super().__init__(**kwargs)
        self.units = units
        self.parts = parts

    def build(self, input_shape: Any) -> None:
        """Creates kernel [width, units] and bias [units]."""
        x_shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        width = x_shape[-1]
        self.kernel = self.add_weight("kernel", [width, self.units], initializer="glorot_uniform")
        self.bias = self.add_weight("bias", [self.units], initializer="zeros")
        config = self.quantization or INT8
        self.add_quantizer("kernel", weight_quantizer(config.weight_bits), shape=self.kernel.shape)
        for name in self.output_names:
            quantizer = (
                residual_quantizer(self.quantization)
                if isinstance(input_shape, list)
                else CalibratedQuantizer(symmetric=self.parts > 1)
            )
            self.add_quantizer(name, quantizer)
        super().build(input_shape)

    @property
    def output_names(self) -> list[str]:
        """Names of the output's quantizers: one a part."""
        if self.parts == 1:
            return ["output"]
        return [f"output_{part}" for part in range(self.parts)]

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that the input, or the residual, may have."""
        return (self.output_bits if index else 8,)

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns that of the units, where a residual input has it too."""
        x, *residual = shapes
        outputs = (*x[:-1], self.units)
        return outputs if residual in ([], [outputs]) else None

    def call(
        self,
        inputs: Any,
        units: tf.Tensor | None = None,
        training: bool | None = None,
        *,
        heads: Heads | None = None,
    ) -> tf.Tensor:
        """Multiplies; ``inputs`` is a tensor or the list [tensor, residual]."""
        x, residual = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        if self.simulates_integers:
            return self._integer_call(x, residual, training)
        kernel, bias = self.kernel, self.bias
        if units is not None:
            kernel, bias = self._leading(tf.shape(x)[-1], units, heads)
        kernel = self.fake_quantize("kernel", kernel, training)
        outputs = tf.matmul(tf.reshape(x, [-1, tf.shape(x)[-1]]), kernel) + bias
        outputs = tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], tf.shape(kernel)[1:]], 0))
        if units is None:
            outputs.set_shape([*x.shape[:-1], self.units])
        if residual is not None:
            outputs = outputs + residual
        return self._fake_quantize_parts(outputs, training) if self.quantized else outputs

    def _leading(
        self, width: tf.Tensor, units: tf.Tensor, heads: Heads | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # Kernel [width, units] and bias [units].
        rows, columns = [self.kernel.shape[0]], [self.units // self.parts]
        kept_rows, kept_columns = [width], [units // self.parts]
        if heads is not None and self.parts > 1:
            columns, kept_columns = [*heads.most], [heads.count, heads.dim]
        elif heads is not None:
            rows, kept_rows = [*heads.most], [heads.count, heads.dim]
        of_parts = (slice(None), *map(slice, kept_columns))
        kernel = tf.reshape(self.kernel, [*rows, self.parts, *columns])
        kernel = kernel[(*map(slice, kept_rows), *of_parts)]
        bias = tf.reshape(self.bias, [self.parts, *columns])[of_parts]
        return tf.reshape(kernel, [width, units]), tf.reshape(bias, [units])

    def _fake_quantize_parts(self, outputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        parts = tf.split(outputs, self.parts, axis=-1) if self.parts > 1 else [outputs]
        named = zip(self.output_names, parts, strict=True)
        parts = [self.fake_quantize(n, part, training) for n, part in named]
        return tf.concat(parts, -1) if self.parts > 1 else parts[0]

    @tf.autograph.experimental.do_not_convert
    def _integer_call(
        self, x: tf.Tensor, residual: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        kernel = self.fake_quantize("kernel", self.kernel, training)
        matrix = integer_matrix(self, self.source())
        rows = tf.reshape(integers(x, matrix.source), [-1, x.shape[-1]])
        accumulator = matrix.accumulate(rows, kernel)
        smooth = matrix.real_values(accumulator, self.bias)
        if residual is not None:
            residual = tf.reshape(residual, [-1, self.units])
            smooth += residual
        smooth = self._fake_quantize_parts(smooth, training)
        # Only now are the ranges of the output those of this step.
        outputs = self.output_quantizations()
        multipliers = matrix.multipliers(outputs, residual is not None)
        sums = tf.cast(accumulator, tf.int32), matrix.centred_bias, *multipliers
        zero_point, num_bits = outputs[0].zero_point, outputs[0].num_bits
        if residual is None:
            exact = rescale(*sums, zero_point, num_bits)
        else:
            added = tf.cast(integers(residual, self.source(1)), tf.int32)
            multipliers = residual_multiplier(self.source(1), outputs[0])
            exact = rescale_and_add(*sums, added, *multipliers, zero_point, num_bits)
        scales = column_scales(outputs, self.bias)
        real = real_values(smooth, exact, Quantization(scales, zero_point, num_bits=num_bits))
        return tf.reshape(real, tf.concat([tf.shape(x)[:-1], [self.units]], 0))

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        return {**super().get_config(), "units": self.units, "parts": self.parts}
