"""The mean of neighbouring tokens."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.custom_ops.reference.token_pool import MAX_SIZE
from mcuformer_tflm.keras_models.checked_values import checked_whole, entries, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.mean_pool import integer_mean
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    QuantizableLayer,
    residual_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import integers


@tf_keras.utils.register_keras_serializable(PACKAGE)
class TokenPool(QuantizableLayer):
    """Averages square windows of a grid of tokens, as hierarchical transformers do between blocks.

    float[batch, rows * columns, width] to float[batch, rows * columns / size^2, width]. Input and
    output are parts of the residual stream. The integer operator is
    ``custom_ops/kernels/token_pool``.

    Args:
        grid: Rows and columns of tokens: of a stem, image height and width over ``patch_size``,
            rounded up.
        size: Side of a window, in tokens; rows and columns must be multiples of it.
        **kwargs: As for ``QuantizableLayer``.

    Raises:
        ConfigError: If the grid is none, or no multiple of the window.
    """

    def __init__(self, grid: tuple[int, int], size: int = 2, **kwargs: Any) -> None:
        """Makes the layer."""
        super().__init__(**kwargs)
        sides = entries(grid)
        if sides is None or len(sides) != 2:
            raise ConfigError(
                f"grid is {shown(grid)}; it must be the (rows, columns) of the tokens."
            )
        rows, columns = (checked_whole("grid", side) for side in sides)
        self.grid = (rows, columns)
        self.size = checked_whole("size", size, least=2, most=MAX_SIZE)
        if rows % self.size or columns % self.size:
            raise ConfigError(
                f"size is {size}, and {self.name} pools a grid of {rows} by {columns} tokens; rows "
                "and columns must be multiples of it. Choose patch_size and image accordingly."
            )

    def build(self, input_shape: Any) -> None:
        """Creates the quantizer of the output.

        Raises:
            ConfigError: If the input has another number of tokens than the grid.
        """
        rows, columns = self.grid
        if len(input_shape) != 3 or input_shape[1] != rows * columns:
            raise ConfigError(
                f"{self.name} pools a grid of {rows} by {columns} tokens, and gets an input of "
                f"shape {tuple(input_shape[1:])}; give the grid of these tokens."
            )
        self.add_quantizer("output", residual_quantizer(self.quantization))
        super().build(input_shape)

    def input_bits(self, index: int) -> tuple[int, ...]:
        """Returns the widths that its input may have: that of the stream."""
        return (self.output_bits,)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Averages the tokens of each window."""
        if not self.simulates_integers:
            mean = self._sums(inputs) / self.size**2
            return self.fake_quantize("output", mean, training)
        return self._integer_call(inputs, training)

    def _sums(self, inputs: tf.Tensor) -> tf.Tensor:
        size, width = self.size, inputs.shape[-1]
        rows, columns = (side // size for side in self.grid)
        windows = tf.reshape(inputs, [-1, rows, size, columns, size * width])
        totals = tf.reshape(tf.reduce_sum(windows, 2), [-1, rows * columns, size, width])
        return tf.reduce_sum(totals, 2)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, inputs: tf.Tensor, training: bool | None) -> tf.Tensor:
        total = self._sums(integers(inputs, self.source()))
        return integer_mean(self, total, self.size**2, training)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        return {**super().get_config(), "grid": self.grid, "size": self.size}
