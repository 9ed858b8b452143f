"""What the layers that make tokens of an image have in common: learned positions."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.quantization.integer_matrix import (
    IntegerMatrix,
    rescale_and_add,
    residual_multiplier,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    QuantizableLayer,
    Shape,
    residual_quantizer,
    weight_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, real_values

IMAGE_QUANTIZATION = Quantization(IMAGE_SCALE)


@tf_keras.utils.register_keras_serializable(PACKAGE)
class Stem(QuantizableLayer):
    """Tokens by a last matrix, ``kernel`` and ``bias``, to which their positions are added.

    float[batch, height, width, channels] in [-1, 1) to float[batch, tokens, embed_dim].

    Args:
        embed_dim: Width of a token in the widest network.
        patch_size: Height and width of what becomes a token, in pixels.
        **kwargs: As for ``QuantizableLayer``.
    """

    reads_image = True

    def __init__(self, embed_dim: int, patch_size: int, **kwargs: Any) -> None:
        """Makes the layer."""
        super().__init__(**kwargs)
        self.embed_dim = embed_dim
        self.patch_size = patch_size

    @property
    def strip_rows(self) -> int:
        """Rows of the image that its operator asks for at a time."""
        return self.patch_size

    def output_shape_of(self, *shapes: Shape) -> Shape | None:
        """Returns that of the tokens, where the image's size is known."""
        if [len(shape) for shape in shapes] != [4]:
            return None
        batch, height, width, channels = shapes[0]
        if height is None or width is None or channels is None:
            return None
        rows, columns = (-(size // -self.patch_size) for size in (height, width))
        return batch, rows * columns, self.embed_dim

    def build(self, input_shape: Any) -> None:
        """Creates the quantizers of positions and tokens."""
        self.add_quantizer("position", weight_quantizer(per_axis=False), shape=self.position.shape)
        self.add_quantizer("output", residual_quantizer(self.quantization))
        super().build(input_shape)

    def add_position(self, height: int, width: int) -> None:
        """Creates the positions of an image's tokens, float[tokens, embed_dim].

        Raises:
            ConfigError: If the image is smaller than what becomes a token.
        """
        if min(height, width) < self.patch_size:
            raise ConfigError(
                f"{self.name} has patch_size {self.patch_size} for images of {height} x {width} "
                "pixels; it must be at most their shorter side."
            )
        rows, columns = (-(size // -self.patch_size) for size in (height, width))
        self.num_tokens = rows * columns
        self.position = self.add_weight(
            "position",
            [self.num_tokens, self.embed_dim],
            initializer=functools.partial(_initial_positions, columns),
        )

    def float_tokens(self, products: tf.Tensor, width: Any, training: bool | None) -> tf.Tensor:
        """Adds bias and positions, float[batch, tokens, width].

        Args:
            products: Of the last matrix, float[batch * tokens, width].
            width: Values of a token: ``embed_dim``, or those of a narrower subnet.
            training: As in Keras.
        """
        tokens = tf.reshape(products + self.bias[:width], [-1, self.num_tokens, width])
        position = self.fake_quantize("position", self.position[:, :width], training)
        return self.fake_quantize("output", tokens + position, training)

    @tf.autograph.experimental.do_not_convert
    def integer_tokens(
        self, accumulator: tf.Tensor, matrix: IntegerMatrix, training: bool | None
    ) -> tf.Tensor:
        """Adds bias and positions as the operator does.

        Args:
            accumulator: Products of the last matrix, float[batch * tokens, embed_dim].
            matrix: Of ``kernel`` and ``bias``.
            training: As in Keras.

        Returns:
            float[batch, tokens, embed_dim], the output's integers times their scale.
        """
        position = self.fake_quantize("position", self.position, training)
        accumulator = tf.reshape(accumulator, [-1, self.num_tokens, self.embed_dim])
        smooth = matrix.real_values(accumulator, self.bias) + position
        smooth = self.fake_quantize("output", smooth, training)
        output, added = self.tensor_quantization("output"), self.tensor_quantization("position")
        exact = rescale_and_add(
            tf.cast(accumulator, tf.int32),
            matrix.centred_bias,
            *matrix.multipliers([output], residual=True),
            self.integer_position(),
            *residual_multiplier(added, output),
            output.zero_point,
            output.num_bits,
        )
        return real_values(smooth, exact, output)

    def integer_position(self) -> tf.Tensor:
        """Returns the positions as integers, int32[tokens, embed_dim] within [-127, 127]."""
        scale = self.tensor_quantization("position").scale
        position = tf.round(tf.cast(self.position, tf.float64) / scale)
        return tf.cast(tf.clip_by_value(position, -127, 127), tf.int32)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        config = {"embed_dim": self.embed_dim, "patch_size": self.patch_size}
        return {**super().get_config(), **config}


def _initial_positions(columns: int, shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
    # Sinusoids tell the positions apart from the first step; learning them from noise takes
    # epochs that a short run does not have.
    tokens, width = shape
    rows = tokens // columns
    half = -(-width // 4)
    # The slowest wave does not return within the longer side.
    steps = max(half, -(-max(rows, columns) // 2))
    rate = tf.range(1, half + 1, dtype=tf.float32) * 3.14159265 / steps
    axis = tf.range(max(rows, columns), dtype=tf.float32)[:, None] * rate[None]
    waves = tf.concat([tf.sin(axis), tf.cos(axis)], -1)
    grid = tf.concat([
        tf.repeat(waves[:rows], columns, axis=0), tf.tile(waves[:columns], [rows, 1])
    ], -1)[:, :width]  # fmt: skip
    return tf.cast(0.2 * grid, dtype or tf.float32)
