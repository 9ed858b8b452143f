"""Random changes of training images that depend on a seed alone.

Images are float32[height, width, channels] in [-1, 1); seeds are int32[2], as ``tf.random``'s
stateless functions take them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe

# Random erasing as DeiT sets it (Touvron et al., 2021): share of the image, height / width.
_ERASED_AREA = (0.02, 1 / 3)
_ERASED_ASPECT = (0.3, 1 / 0.3)
# RandAugment as DeiT sets it: each operation of a draw is left out with this probability.
_LEFT_OUT = 0.5
_GREY = 128.0


def augment_image(image: tf.Tensor, seed: tf.Tensor, recipe: TrainingRecipe) -> tf.Tensor:
    """Crops, flips, distorts and erases as the recipe says."""
    seeds = tf.random.split(seed, 4)
    if recipe.crop_padding:
        image = random_crop(image, seeds[0], recipe.crop_padding)
    if recipe.flip_probability:
        mirror = tf.random.stateless_uniform([], seeds[1]) < recipe.flip_probability
        image = tf.where(mirror, image[:, ::-1], image)
    if recipe.rand_augment_operations:
        image = rand_augment(
            image, seeds[2], recipe.rand_augment_operations, recipe.rand_augment_magnitude,
            recipe.rand_augment_std,
        )  # fmt: skip
    if recipe.erasing_probability:
        image = random_erase(image, seeds[3], recipe.erasing_probability)
    return image


def mixup(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each image of a batch, and its label, with another (Zhang et al., 2018).

    Args:
        images: float32[batch, height, width, channels].
        labels: float32[batch, num_classes] probabilities.
        seed: Of the share, which the whole batch has in common.
        alpha: Of the share's distribution, Beta(alpha, alpha).
    """
    one, other = (
        tf.random.stateless_gamma([], each, alpha) for each in tf.unstack(tf.random.split(seed))
    )
    # Both are 0 now and then where alpha is small.
    share = tf.math.divide_no_nan(one, one + other)
    blend = [share * part + (1 - share) * part[::-1] for part in (images, labels)]
    return blend[0], blend[1]


def random_crop(image: tf.Tensor, seed: tf.Tensor, padding: int) -> tf.Tensor:
    """Moves the image by up to ``padding`` pixels; what comes in is its mirror image."""
    padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]], "REFLECT")
    return tf.image.stateless_random_crop(padded, image.shape, seed)


def random_erase(image: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Fills a random rectangle with normal noise (Zhong et al., 2020)."""
    height, width, _ = image.shape
    seeds = tf.random.split(seed, 3)
    chosen, area, aspect, top, left = tf.unstack(tf.random.stateless_uniform([5], seeds[0]))
    area = height * width * (_ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0]))
    low, high = map(math.log, _ERASED_ASPECT)
    aspect = tf.exp(low + aspect * (high - low))
    rows = tf.minimum(tf.round(tf.sqrt(area * aspect)), height)
    columns = tf.minimum(tf.round(tf.sqrt(area / aspect)), width)
    top, left = tf.floor(top * (height - rows + 1)), tf.floor(left * (width - columns + 1))
    row, column = tf.range(float(height))[:, None, None], tf.range(float(width))[None, :, None]
    inside = (row >= top) & (row < top + rows) & (column >= left) & (column < left + columns)
    noise = tf.clip_by_value(tf.random.stateless_normal(image.shape, seeds[1]), -1.0, 127 / 128)
    return tf.where(inside & (chosen < probability), noise, image)


def rand_augment(
    image: tf.Tensor, seed: tf.Tensor, operations: int, magnitude: float, std: float
) -> tf.Tensor:
    """Applies random operations of one strength (Cubuk et al., 2020).

    The fifteen operations, their ranges and their growth with the strength are those of DeiT's
    recipe ("rand-m9-mstd0.5-inc1").

    Args:
        image: The image.
        seed: Of all choices.
        operations: How many are drawn.
        magnitude: Mean strength, 0 to 10.
        std: Its standard deviation.
    """
    shape, pixels = image.shape, image * 128 + 128
    for each in tf.unstack(tf.random.split(seed, operations)):
        seeds = tf.random.split(each, 4)
        level = magnitude + std * tf.random.stateless_normal([], seeds[0])
        strength = tf.clip_by_value(level, 0, 10) / 10
        sign = tf.where(tf.random.stateless_uniform([], seeds[1]) < 0.5, -1.0, 1.0)
        number = tf.random.stateless_uniform([], seeds[2], 0, len(_OPERATIONS), tf.int32)
        branches = [
            lambda f=f, x=pixels, s=strength, sign=sign: tf.clip_by_value(f(x, s, sign), 0, 255)
            for f in _OPERATIONS.values()
        ]
        changed = tf.ensure_shape(tf.switch_case(number, branches), shape)
        kept = tf.random.stateless_uniform([], seeds[3]) < _LEFT_OUT
        pixels = tf.where(kept, pixels, changed)
    return (pixels - 128) / 128


# Each takes float32 pixels of 0 to 255, a strength of 0 to 1, and a sign.
_Operation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def _auto_contrast(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    low, high = (f(x, axis=[0, 1], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    return tf.where(high > low, (x - low) * 255 / tf.maximum(high - low, 1e-3), x)


def _equalize(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    channels = []
    for channel in tf.unstack(x, axis=-1):
        counts = tf.math.bincount(tf.cast(channel, tf.int32), minlength=256, maxlength=256)
        below = tf.cast(tf.cumsum(counts, exclusive=True), tf.float32)
        brightest = tf.reduce_max(tf.where(counts > 0, below, 0.0))
        table = tf.where(brightest > 0, below * 255 / tf.maximum(brightest, 1.0), 0.0)
        equal = tf.gather(table, tf.cast(channel, tf.int32))
        channels.append(tf.where(brightest > 0, equal, channel))
    return tf.stack(channels, axis=-1)


def _invert(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return 255 - x


def _posterize(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    step = 2.0 ** (8 - tf.maximum(tf.round(4 - 4 * strength), 1.0))
    return tf.floor(x / step) * step


def _solarize(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return tf.where(x < 256 - 256 * strength, x, 255 - x)


def _solarize_add(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return tf.where(x < 128, x + 110 * strength, x)


def _blend(base: tf.Tensor, x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return base + (1 + 0.9 * sign * strength) * (x - base)


def _color(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(_luminance(x), x, strength, sign)


def _contrast(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(tf.reduce_mean(_luminance(x)), x, strength, sign)


def _brightness(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _blend(tf.zeros_like(x), x, strength, sign)


def _sharpness(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[..., None, None], [1, 1, x.shape[-1], 1])
    smooth = tf.nn.depthwise_conv2d(x[None], kernel, [1, 1, 1, 1], "VALID")[0]
    # The rim has no whole neighbourhood and stays as it is.
    rim = tf.pad(tf.ones_like(smooth), [[1, 1], [1, 1], [0, 0]])
    smooth = tf.where(rim > 0, tf.pad(smooth, [[1, 1], [1, 1], [0, 0]]), x)
    return _blend(smooth, x, strength, sign)


def _rotate(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    angle = sign * strength * math.radians(30)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    return _affine(x, [[cosine, -sine], [sine, cosine]])


def _shear_x(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _affine(x, [[1.0, 0.3 * sign * strength], [0.0, 1.0]])


def _shear_y(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _affine(x, [[1.0, 0.0], [0.3 * sign * strength, 1.0]])


def _translate_x(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _affine(x, [[1.0, 0.0], [0.0, 1.0]], x=0.45 * sign * strength * x.shape[1])


def _translate_y(x: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return _affine(x, [[1.0, 0.0], [0.0, 1.0]], y=0.45 * sign * strength * x.shape[0])


_OPERATIONS: dict[str, _Operation] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": _invert,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}


def _luminance(x: tf.Tensor) -> tf.Tensor:
    if x.shape[-1] != 3:
        return tf.reduce_mean(x, axis=-1, keepdims=True)
    return tf.reduce_sum(x * tf.constant([0.299, 0.587, 0.114]), axis=-1, keepdims=True)


def _affine(
    image: tf.Tensor,
    matrix: list[list[tf.Tensor | float]],
    x: tf.Tensor | float = 0.0,
    y: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    # Where each pixel of the result comes from, about the middle; outside it is grey.
    height, width, _ = image.shape
    (a, b), (c, d) = matrix
    right, down = (width - 1) / 2, (height - 1) / 2
    transform = [a, b, right - a * right - b * down + x, c, d, down - c * right - d * down + y]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([*(tf.cast(each, tf.float32) for each in transform), 0.0, 0.0])[None],
        output_shape=[height, width],
        fill_value=_GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
