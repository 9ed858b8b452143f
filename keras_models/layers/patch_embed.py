"""Patch embedding with learned positions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.layers.stem import IMAGE_QUANTIZATION, Stem
from mcuformer_tflm.keras_models.quantization.integer_matrix import integer_matrix
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    FixedRangeQuantizer,
    weight_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import integers


@tf_keras.utils.register_keras_serializable(PACKAGE)
class PatchEmbed(Stem):
    """A convolution of stride ``patch_size``, plus a position embedding.

    An image that is no multiple of the patch is padded with zeros, the smaller half first. The
    integer operator is ``custom_ops/kernels/patch_embed``.
    """

    def build(self, input_shape: Any) -> None:
        """Creates kernel [patch, patch, channels, embed_dim], bias and positions."""
        _, height, width, channels = input_shape
        p = self.patch_size
        self.padding = [[0, 0], *([(-n % p) // 2, -(n // -p) * p - n - (-n % p) // 2]
                                  for n in (height, width)), [0, 0]]  # fmt: skip
        self.kernel = self.add_weight(
            "kernel", [p, p, channels, self.embed_dim], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [self.embed_dim], initializer="zeros")
        self.add_position(height, width)
        self.add_quantizer("image", FixedRangeQuantizer(8, -1.0, 127 * IMAGE_SCALE, False))
        self.add_quantizer("kernel", weight_quantizer(), shape=self.kernel.shape)
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
        # One matrix product on cut patches: several times faster on a CPU than Conv2D.
        p, channels = self.patch_size, images.shape[-1]
        images = tf.pad(images, self.padding)
        rows, columns = images.shape[1] // p, images.shape[2] // p
        patches = tf.reshape(images, [-1, rows, p, columns, p, channels])
        patches = tf.reshape(tf.transpose(patches, [0, 1, 3, 2, 4, 5]), [-1, p * p * channels])
        if self.simulates_integers:
            matrix = integer_matrix(self, IMAGE_QUANTIZATION)
            accumulator = matrix.accumulate(integers(patches, matrix.source), kernel)
            return self.integer_tokens(accumulator, matrix, training)
        products = tf.matmul(patches, tf.reshape(kernel, [p * p * channels, -1]))
        return self.float_tokens(products, width, training)
