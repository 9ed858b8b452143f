"""Patch embedding with learned positions."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.layers.position import initial_positions
from mcuformer_tflm.keras_models.quantization.integer_matrix import (
    integer_matrix,
    rescale_and_add,
    residual_multiplier,
)
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    FixedRangeQuantizer,
    QuantizableLayer,
    residual_quantizer,
    weight_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, integers, real_values

IMAGE_QUANTIZATION = Quantization(IMAGE_SCALE)


@tf_keras.utils.register_keras_serializable(PACKAGE)
class PatchEmbed(QuantizableLayer):
    """A convolution of stride ``patch_size``, plus a position embedding.

    float[batch, height, width, channels] in [-1, 1) to float[batch, tokens, embed_dim]. An
    image that is no multiple of the patch is padded with zeros, the smaller half first. The
    integer operator is ``custom_ops/kernels/patch_embed``.

    Args:
        embed_dim: Width of a token in the widest network.
        patch_size: Height and width of a patch, in pixels.
        **kwargs: As for ``QuantizableLayer``.
    """

    reads_image = True

    def __init__(self, embed_dim: int, patch_size: int, **kwargs: Any) -> None:
        """Makes the layer."""
        super().__init__(**kwargs)
        self.embed_dim = embed_dim
        self.patch_size = patch_size

    def build(self, input_shape: Any) -> None:
        """Creates kernel [patch, patch, channels, embed_dim], bias and positions."""
        _, height, width, channels = input_shape
        p = self.patch_size
        self.padding = [[0, 0], *([(-n % p) // 2, -(n // -p) * p - n - (-n % p) // 2]
                                  for n in (height, width)), [0, 0]]  # fmt: skip
        self.num_tokens = -(height // -p) * -(width // -p)
        self.kernel = self.add_weight(
            "kernel", [p, p, channels, self.embed_dim], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [self.embed_dim], initializer="zeros")
        self.position = self.add_weight(
            "position",
            [self.num_tokens, self.embed_dim],
            initializer=functools.partial(initial_positions, -(width // -p)),
        )
        self.add_quantizer("image", FixedRangeQuantizer(8, -1.0, 127 * IMAGE_SCALE, False))
        self.add_quantizer("kernel", weight_quantizer(), shape=self.kernel.shape)
        self.add_quantizer("position", weight_quantizer(per_axis=False), shape=self.position.shape)
        self.add_quantizer("output", residual_quantizer(self.quantization))
        super().build(input_shape)

    def call(
        self,
        images: tf.Tensor,
        embed_dim: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """Cuts images into patches and embeds them."""
        images = self.fake_quantize("image", images, training)
        width = self.embed_dim if embed_dim is None else embed_dim
        kernel = self.fake_quantize("kernel", self.kernel[..., :width], training)
        position = self.fake_quantize("position", self.position[:, :width], training)
        # One matrix product on cut patches: several times faster on a CPU than Conv2D.
        p, channels = self.patch_size, images.shape[-1]
        images = tf.pad(images, self.padding)
        rows, columns = images.shape[1] // p, images.shape[2] // p
        patches = tf.reshape(images, [-1, rows, p, columns, p, channels])
        patches = tf.reshape(tf.transpose(patches, [0, 1, 3, 2, 4, 5]), [-1, p * p * channels])
        if self.simulates_integers:
            tokens = self._integer_tokens(patches, kernel, position, training)
            return tf.reshape(tokens, [-1, self.num_tokens, self.embed_dim])
        tokens = tf.matmul(patches, tf.reshape(kernel, [p * p * channels, -1]))
        tokens = tf.reshape(tokens + self.bias[:width], [-1, self.num_tokens, width])
        return self.fake_quantize("output", tokens + position, training)

    @tf.autograph.experimental.do_not_convert
    def _integer_tokens(
        self,
        patches: tf.Tensor,
        kernel: tf.Tensor,
        position: tf.Tensor,
        training: bool | None,
    ) -> tf.Tensor:
        matrix = integer_matrix(self, IMAGE_QUANTIZATION)
        accumulator = matrix.accumulate(integers(patches, matrix.source), kernel)
        shape = [-1, self.num_tokens, self.embed_dim]
        accumulator = tf.reshape(accumulator, shape)
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
