"""A small depthwise-separable CNN after MobileNet (Howard et al., 2017)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import tf_keras

from mcuformer_tflm.convert.builtin import convert_builtin
from mcuformer_tflm.keras_models.architecture import (
    MAX_DEPTH,
    ImageSize,
    checked_image_size,
    image_shape,
)
from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError

# A mean over so many steps: short trainings would test with the statistics of fresh weights
# under Keras' own 0.99.
_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class DepthwiseCnn:
    """A stem, stages of depthwise-separable blocks, the mean, a classifier.

    The stem is a 3x3 convolution; a block is a 3x3 depthwise and a 1x1 convolution; each
    convolution is followed by batch normalisation and ReLU. Every stage but the first halves
    the image and doubles the width. All of it is in TFLite's operators, which TFLM runs.

    Attributes:
        image_size: Side of a square input, or its (height, width), in pixels.
        channels: Channels of the input.
        num_classes: Number of classes.
        width: Channels of the stem.
        blocks: Blocks of each stage.
        stem_stride: 1 keeps the image's size in the first stage, 2 halves it.
    """

    image_size: ImageSize
    channels: int
    num_classes: int
    width: int
    blocks: tuple[int, ...]
    _: dataclasses.KW_ONLY
    stem_stride: int = 1

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If a field is out of range.
        """
        object.__setattr__(self, "image_size", checked_image_size(self.image_size))
        for field in ("channels", "num_classes", "width"):
            object.__setattr__(self, field, checked_whole(field, getattr(self, field)))
        blocks = entries(self.blocks)
        if not blocks:
            raise ConfigError(f"blocks is {shown(self.blocks)}; it must be blocks of each stage.")
        blocks = tuple(checked_whole("blocks", stage) for stage in blocks)
        object.__setattr__(self, "blocks", blocks)
        checked_whole("the sum of blocks", sum(blocks), most=MAX_DEPTH)
        checked_choice("stem_stride", self.stem_stride, (1, 2))
        if min(self.image_shape[:2]) < 2 ** (len(self.blocks) - 1) * self.stem_stride:
            raise ConfigError(
                f"image_size is {self.image_size}; {len(self.blocks)} stages halve it to nothing."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the input."""
        return image_shape(self.image_size, self.channels)

    def build(self) -> tf_keras.Model:
        """Builds the network with fresh weights.

        Returns:
            A model from float[batch, height, width, channels] in [-1, 1) to
            float[batch, num_classes] logits.
        """
        layers = tf_keras.layers
        image = x = tf_keras.Input(self.image_shape, name="image")
        for name, kernel, stride, _, units in self._convolutions():
            if units is None:
                layer = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=name)
            else:
                layer = layers.Conv2D(units, kernel, stride, "same", use_bias=False, name=name)
            x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(layer(x))
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.GlobalAveragePooling2D(name="mean_pool")(x)
        return tf_keras.Model(
            image, layers.Dense(self.num_classes, name="head")(x), name="depthwise_cnn"
        )

    def convert(self, model: tf_keras.Model, calibration: np.ndarray) -> bytes:
        """Converts a trained network to int8 with TFLite's converter.

        Batch normalisation is folded into the convolutions, weights have one scale a channel.

        Args:
            model: From ``build``, trained.
            calibration: float32[n, height, width, channels] in [-1, 1) that set the ranges.

        Raises:
            DataError: If there are too few calibration images.
        """
        return convert_builtin(model, calibration)

    @property
    def num_macs(self) -> int:
        """Multiply-accumulates of one image."""
        height, width, _ = self.image_shape
        total, channels = 0, self.channels
        for _, kernel, stride, channels_in, units in self._convolutions():
            height, width = math.ceil(height / stride), math.ceil(width / stride)
            channels = units or channels_in
            inputs = 1 if units is None else channels_in
            total += height * width * channels * inputs * kernel**2
        return total + channels * self.num_classes

    def _convolutions(self) -> Iterator[tuple[str, int, int, int, int | None]]:
        # Name, kernel, stride, channels in, channels out; None: depthwise, which keeps them.
        width = self.width
        yield "stem", 3, self.stem_stride, self.channels, width
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                first = stage > 0 and block == 0
                name = f"block_{stage}_{block}"
                yield f"{name}_depthwise", 3, 2 if first else 1, width, None
                wider = 2 * width if first else width
                yield f"{name}_pointwise", 1, 1, width, wider
                width = wider
