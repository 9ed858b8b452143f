"""Tokens by convolutions that halve the image, with learned positions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.custom_ops.reference.conv_stem import (
    KERNEL_SIZE,
    STRIP_ROWS,
    num_stages,
    stem_channels,
)
from mcuformer_tflm.keras_models.architecture import check_halved
from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.layers.stem import IMAGE_QUANTIZATION, Stem
from mcuformer_tflm.keras_models.quantization.integer_matrix import integer_matrix, rescale
from mcuformer_tflm.keras_models.quantization.quantizers import (
    PACKAGE,
    FixedRangeQuantizer,
    QuantizableLayer,
    ReluQuantizer,
    weight_quantizer,
)
from mcuformer_tflm.keras_models.quantization.scales import Quantization, integers, real_values

# Each stage's output is as large as its input's every other pixel, from the first one on.
_STRIDE = 2
_PADDING = [[0, 0], [1, 1], [1, 1], [0, 0]]
# A unit's squares sum up to no less, so that one without variance is not divided by zero.
LEAST_SQUARES = 1e-4
# Keeps the variance of what passes a standardised kernel and ReLU (Brock et al., 2021).
_RELU_GAIN = 1.7139588594436646


@tf_keras.utils.register_keras_serializable(PACKAGE)
class ConvStem(Stem):
    """3x3 convolutions of stride 2 with ReLU, a projection to tokens, and their positions.

    Instead of ``PatchEmbed`` (Xiao et al., "Early Convolutions Help Transformers See Better",
    2021). Every stage pads one pixel of zeros on each side, so that n pixels become ceil(n / 2);
    its channels are ``stem_channels``. The integer operator is ``custom_ops/kernels/conv_stem``.

    Kernels are standardised over height, width and channels of the input, each unit for itself
    (Qiao et al., 2019), and scaled by a learned gain (Brock et al., 2021). No statistic of a batch
    enters: a narrower ``embed_dim`` takes the leading channels of every stage and is the network
    that it would be on its own. A quantized layer has the kernels that come out, without gains.

    Args:
        embed_dim: Width of a token in the widest network.
        patch_size: Pixels of height and width that become a token: 4, 8, 16 or 32.
        standardised: Whether a layer in floating point standardises its kernels, or has them
            as they come out, as the copy of a quantized network does.
        **kwargs: As for ``QuantizableLayer``.

    Raises:
        ConfigError: If the patch's size is another, or an image is smaller.
    """

    def __init__(
        self, embed_dim: int, patch_size: int, *, standardised: bool = True, **kwargs: Any
    ) -> None:
        """Makes the layer."""
        check_halved(patch_size)
        super().__init__(embed_dim, patch_size, **kwargs)
        self.standardised = standardised and not self.quantized
        self.stages = range(1, num_stages(patch_size) + 1)

    @property
    def strip_rows(self) -> int:
        """Rows of the image that its operator asks for at a time."""
        return STRIP_ROWS

    def build(self, input_shape: Any) -> None:
        """Creates kernels, gains and biases of the stages, those of the projection, positions."""
        _, height, width, channels = input_shape
        self.add_quantizer("image", FixedRangeQuantizer(8, -1.0, 127 * IMAGE_SCALE, False))
        for stage, units in zip(self.stages, self._channels(self.embed_dim), strict=True):
            shape = [KERNEL_SIZE, KERNEL_SIZE, channels, units]
            self._add_kernel(f"kernel_{stage}", shape, "he_normal")
            if self.standardised:
                gain = tf_keras.initializers.Constant(_RELU_GAIN)
                self._add(f"gain_{stage}", [units], gain)
            self._add(f"bias_{stage}", [units], "zeros")
            self.add_quantizer(f"stage_{stage}", ReluQuantizer())
            channels = units
        self._add_kernel("kernel", [channels, self.embed_dim], "glorot_uniform")
        self._add("bias", [self.embed_dim], "zeros")
        self.add_position(height, width)
        super().build(input_shape)

    def call(
        self,
        images: tf.Tensor,
        embed_dim: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """Convolves images and embeds what is left of each patch."""
        x = self.fake_quantize("image", images, training)
        if self.simulates_integers:
            return self._integer_call(x, training)
        width = self.embed_dim if embed_dim is None else embed_dim
        channels = images.shape[-1]
        for stage, units in zip(self.stages, self._channels(width), strict=True):
            kernel = self._kernel(stage, channels, units)
            kernel = self.fake_quantize(f"kernel_{stage}", kernel, training)
            bias = getattr(self, f"bias_{stage}")[:units]
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, _STRIDE, _PADDING) + bias)
            x = self.fake_quantize(f"stage_{stage}", x, training)
            channels = units
        kernel = self.fake_quantize("kernel", self.kernel[:channels, :width], training)
        products = tf.matmul(tf.reshape(x, [-1, channels]), kernel)
        return self.float_tokens(products, width, training)

    @tf.autograph.experimental.do_not_convert
    def _integer_call(self, x: tf.Tensor, training: bool | None) -> tf.Tensor:
        source = IMAGE_QUANTIZATION
        for stage in self.stages:
            x, source = self._integer_stage(stage, x, source, training)
        matrix = integer_matrix(self, source)
        kernel = self.fake_quantize("kernel", self.kernel, training)
        rows = tf.reshape(integers(x, matrix.source), [-1, kernel.shape[0]])
        return self.integer_tokens(matrix.accumulate(rows, kernel), matrix, training)

    def _integer_stage(
        self, stage: int, x: tf.Tensor, source: Quantization, training: bool | None
    ) -> tuple[tf.Tensor, Quantization]:
        name, bias = f"kernel_{stage}", getattr(self, f"bias_{stage}")
        matrix = integer_matrix(self, source, kernel=name, bias=f"bias_{stage}")
        kernel = self.fake_quantize(name, getattr(self, name), training)
        pixels, weights = matrix.exact_factors(integers(x, matrix.source), kernel)
        accumulator = tf.nn.conv2d(pixels, weights, _STRIDE, _PADDING)
        smooth = tf.nn.relu(matrix.real_values(accumulator, bias))
        smooth = self.fake_quantize(f"stage_{stage}", smooth, training)
        output = self.tensor_quantization(f"stage_{stage}")
        exact = rescale(
            tf.cast(accumulator, tf.int32),
            matrix.centred_bias,
            *matrix.multipliers([output]),
            output.zero_point,
            output.num_bits,
        )
        return real_values(smooth, exact, output), output

    def copy_weights(self, source: QuantizableLayer) -> None:
        """Takes another's weights, and its kernels as they come out where this has no gains."""
        super().copy_weights(source)
        if isinstance(source, ConvStem) and source.standardised and not self.standardised:
            for stage in self.stages:
                getattr(self, f"kernel_{stage}").assign(source._kernel(stage, None, None))

    def _channels(self, embed_dim: Any) -> tuple[Any, ...]:
        return stem_channels(embed_dim, self.patch_size)

    def _kernel(self, stage: int, channels: Any, units: Any) -> tf.Tensor:
        # As it is convolved with.
        kernel = getattr(self, f"kernel_{stage}")[:, :, :channels, :units]
        if not self.standardised:
            return kernel
        return _standardised(kernel, getattr(self, f"gain_{stage}")[:units])

    def _add(self, name: str, shape: list[int], initializer: Any) -> None:
        setattr(self, name, self.add_weight(name, shape, initializer=initializer))

    def _add_kernel(self, name: str, shape: list[int], initializer: Any) -> None:
        self._add(name, shape, initializer)
        self.add_quantizer(name, weight_quantizer(), shape=tf.TensorShape(shape))

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration of the layer."""
        return {**super().get_config(), "standardised": self.standardised}


def _standardised(kernel: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    # Each unit with mean 0 and a sum of squares of gain^2. In 32 bits also where products have
    # 16: a unit's weights nearly cancel.
    wide = tf.cast(kernel, tf.float32)
    wide -= tf.reduce_mean(wide, [0, 1, 2], keepdims=True)
    squares = tf.reduce_sum(tf.square(wide), [0, 1, 2], keepdims=True)
    unit = wide * tf.math.rsqrt(tf.maximum(squares, LEAST_SQUARES))
    return tf.cast(unit, kernel.dtype) * gain
