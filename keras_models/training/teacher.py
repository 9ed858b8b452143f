"""The convolutional network that small vision transformers learn from."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.architecture import ImageSize, checked_image_size, image_shape
from mcuformer_tflm.keras_models.checked_values import checked_whole


def convolutional_teacher(
    image_size: ImageSize, channels: int, num_classes: int, *, width: int = 24
) -> tf_keras.Model:
    """Builds a residual network of three stages for small images, with fresh weights.

    A vision transformer has to learn what a convolution knows: that neighbouring pixels belong
    together. Following a convolutional teacher's probabilities shortens that (Touvron et al.,
    DeiT, 2021).

    Args:
        image_size: Side of a square image, or its (height, width).
        channels: Channels of the images.
        num_classes: Number of classes.
        width: Channels of the first stage; the others have twice and four times as many.

    Returns:
        A model from float[batch, height, width, channels] in [-1, 1) to float[batch, num_classes]
        logits, for ``train_subnet``.

    Raises:
        ConfigError: If a number is out of range.
    """
    channels = checked_whole("channels", channels)
    num_classes = checked_whole("num_classes", num_classes)
    width = checked_whole("width", width)
    shape = image_shape(checked_image_size(image_size), channels)
    image = tf_keras.Input(shape, name="image")
    x = _convolve(image, width, name="stage_1")
    for stage in (2, 3):
        filters = 2 ** (stage - 1) * width
        x = _convolve(x, filters, strides=2, name=f"stage_{stage}_down")
        y = _convolve(x, filters, name=f"stage_{stage}_first")
        y = _convolve(y, filters, activate=False, name=f"stage_{stage}_second")
        x = tf_keras.layers.ReLU(name=f"stage_{stage}")(x + y)
    x = tf_keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)
    logits = tf_keras.layers.Dense(num_classes, name="head")(x)
    return tf_keras.Model(image, logits, name="convolutional_teacher")


def _convolve(
    x: tf.Tensor, filters: int, name: str, strides: int = 1, activate: bool = True
) -> tf.Tensor:
    x = tf_keras.layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, name=f"{name}_convolution"
    )(x)
    # Short runs: Keras' momentum of 0.99 would lag by hundreds of steps.
    x = tf_keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return tf_keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x
