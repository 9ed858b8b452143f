"""Tokens by convolutions that halve the image, with learned positions."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.custom_ops.reference.conv_stem import KERNEL_SIZE, num_stages, stem_channels
from mcuformer_tflm.keras_models.layers.position import initial_positions
from mcuformer_tflm.keras_models.quantization.quantizers import PACKAGE, QuantizableLayer

# Each stage's output is as large as its input's every other pixel, from the first one on.
_STRIDE = 2
_PADDING = [[0, 0], [1, 1], [1, 1], [0, 0]]
# What keeps a kernel without any variance from a division by zero.
_EPSILON = 1e-4
# Keeps the variance of what passes a standardised kernel and ReLU (Brock et al., 2021).
_RELU_GAIN = 1.7139588594436646


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ConvStem(QuantizableLayer):
    """3x3 convolutions of stride 2 with ReLU, a projection to tokens, and their positions.

    float[batch, height, width, channels] in [-1, 1) to float[batch, tokens, embed_dim], as
    ``PatchEmbed`` (Xiao et al., "Early Convolutions Help Transformers See Better", 2021). Every
    stage pads one pixel of zeros on each side, so that n pixels become ceil(n / 2); its channels
    are ``stem_channels``.

    Kernels are standardised over height, width and channels of the input, each unit for itself
    (Qiao et al., 2019), and scaled by a learned gain (Brock et al., 2021). No statistic of a batch
    enters: a narrower ``embed_dim`` takes the leading channels of every stage and is the network
    that it would be on its own.

    Args:
        embed_dim: Width of a token in the widest network.
        patch_size: Pixels of height and width that become a token: 4, 8, 16 or 32.
        **kwargs: As for ``QuantizableLayer``.
    """

    reads_image = True

    def __init__(self, embed_dim: int, patch_size: int, **kwargs: Any) -> None:
        """Makes the layer."""
        super().__init__(**kwargs)
        self.embed_dim = embed_dim
        self.patch_size = patch_size
        self.stages = range(1, num_stages(patch_size) + 1)

    def build(self, input_shape: Any) -> None:
        """Creates kernels, gains and biases of the stages, of the projection, and positions."""
        _, height, width, channels = input_shape
        p = self.patch_size
        self.num_tokens = -(height // -p) * -(width // -p)
        for stage, units in zip(self.stages, stem_channels(self.embed_dim, p), strict=True):
            kernel = [KERNEL_SIZE, KERNEL_SIZE, channels, units]
            self._add(f"kernel_{stage}", kernel, "he_normal")
            self._add(f"gain_{stage}", [units], tf_keras.initializers.Constant(_RELU_GAIN))
            self._add(f"bias_{stage}", [units], "zeros")
            channels = units
        self._add("kernel", [channels, self.embed_dim], "glorot_uniform")
        self._add("bias", [self.embed_dim], "zeros")
        positions = functools.partial(initial_positions, -(width // -p))
        self._add("position", [self.num_tokens, self.embed_dim], positions)
        super().build(input_shape)

    def _add(self, name: str, shape: list[int], initializer: Any) -> None:
        setattr(self, name, self.add_weight(name, shape, initializer=initializer))

    def call(
        self,
        images: tf.Tensor,
        embed_dim: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """Convolves images and embeds what is left of each patch."""
        width = self.embed_dim if embed_dim is None else embed_dim
        x, channels = images, images.shape[-1]
        for stage, units in zip(self.stages, stem_channels(width, self.patch_size), strict=True):
            kernel = getattr(self, f"kernel_{stage}")[:, :, :channels, :units]
            kernel = standardised(kernel, getattr(self, f"gain_{stage}")[:units])
            bias = getattr(self, f"bias_{stage}")[:units]
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, _STRIDE, _PADDING) + bias)
            channels = units
        x = tf.reshape(x, [-1, channels])
        tokens = tf.matmul(x, self.kernel[:channels, :width]) + self.bias[:width]
        return tf.reshape(tokens, [-1, self.num_tokens, width]) + self.position[:, :width]

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        config = {"embed_dim": self.embed_dim, "patch_size": self.patch_size}
        return {**super().get_config(), **config}


def standardised(kernel: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    """Returns a kernel whose units have mean 0 and, over their inputs, a sum of squares of gain^2.

    Args:
        kernel: float[height, width, channels, units].
        gain: float[units].
    """
    # In 32 bits also where products have 16: a unit's weights nearly cancel.
    wide = tf.cast(kernel, tf.float32)
    wide -= tf.reduce_mean(wide, [0, 1, 2], keepdims=True)
    squares = tf.reduce_sum(tf.square(wide), [0, 1, 2], keepdims=True)
    unit = wide * tf.math.rsqrt(tf.maximum(squares, _EPSILON))
    return tf.cast(unit, kernel.dtype) * gain
