"""What a network takes for an image: bytes, or floats in [-1, 1).

Every way in asks here, since images of another scale give no error later, only wrong answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.exceptions import DataError

# A network's image is int8 with scale 1/128 and zero point 0: byte b stands for (b - 128) / 128.
IMAGE_SCALE = 1 / 128
# Rounding may lead a little beyond 1, which other ways to normalise bytes reach themselves; as an
# integer 1 saturates to 127/128, and loses no more than any value that is rounded.
LARGEST_PIXEL = 1 + 1e-3


def check_dtype(dtype: Any, what: str = "images") -> None:
    """Checks that images are bytes or floats.

    Args:
        dtype: Theirs, of NumPy or TensorFlow.
        what: How the error calls them.

    Raises:
        DataError: If they are neither.
    """
    if dtype != np.uint8 and not (getattr(dtype, "is_floating", False) or _floats(dtype)):
        name = getattr(dtype, "name", dtype)
        raise DataError(
            f"The {what} are {name}; give bytes (uint8), or floats in [-1, 1), as normalise(...) "
            "makes them of bytes."
        )


def check_pixels(images: np.ndarray, what: str = "images") -> None:
    """Checks that images are bytes, or floats in [-1, 1).

    Exactly 1 passes too, as -1 + 255 / 127.5 gives it. Floats in [0, 1) cannot be told from
    dark-less images in [-1, 1).

    Raises:
        DataError: If they are something else, or hold values that are no numbers.
    """
    check_dtype(images.dtype, what)
    if images.dtype == np.uint8 or not images.size:
        return
    low, high = float(images.min()), float(images.max())
    if np.isnan(low) or np.isnan(high):
        raise DataError(f"The {what} hold values that are no numbers; look for damaged ones.")
    if low < -LARGEST_PIXEL or high > LARGEST_PIXEL:
        raise DataError(
            f"The {what} reach from {low:g} to {high:g}; give bytes (uint8), or floats in [-1, 1): "
            "normalise(images.astype(np.uint8)) makes them of 0 to 255."
        )


def check_images(
    images: np.ndarray, image_shape: Sequence[int | None], *, what: str = "images"
) -> None:
    """Checks that images are a network's: at least one, of its shape, bytes or floats in [-1, 1).

    Args:
        images: [n, height, width, channels].
        image_shape: Height, width and channels; None where any number will do.
        what: How the error calls them.

    Raises:
        DataError: If they are not.
    """
    if not isinstance(images, np.ndarray):
        raise DataError(f"The {what} are a {type(images).__name__}; give an array.")
    if images.ndim == 0 or len(images) == 0:
        raise DataError(f"There are no {what}; give some hundred.")
    check_shape(images.shape[1:], image_shape, what=what)
    check_pixels(images, what)


def check_shape(
    shape: Sequence[int | None], image_shape: Sequence[int | None], *, what: str = "images"
) -> None:
    """Checks that images have a network's height, width and channels.

    Args:
        shape: Theirs; None where it is not known yet.
        image_shape: The network's.
        what: How the error calls them.

    Raises:
        DataError: If they have not.
    """
    pairs = zip(shape, image_shape, strict=False)
    if len(shape) != len(image_shape) or any(None not in pair and pair[0] != pair[1]
                                             for pair in pairs):  # fmt: skip
        raise DataError(
            f"The {what} are of shape {_named(shape)}, the network takes {_named(image_shape)}; "
            "give it images of its image_size and channels, or build it for theirs."
        )


def check_integers(images: np.ndarray, image_shape: Sequence[int]) -> None:
    """Checks that images are the int8 input of a converted model.

    Raises:
        DataError: If dtype or shape are others.
    """
    check_integer_dtype(images)
    check_shape(images.shape[1:], image_shape)


def check_integer_dtype(images: np.ndarray) -> None:
    """Checks that images are int8, where their shape is not known.

    Raises:
        DataError: If they are not.
    """
    if images.dtype == np.uint8 or _floats(images.dtype):
        raise DataError(
            f"The images are {images.dtype}; the model takes int8, which "
            "mcuformer_tflm.quantize_images(images) makes of bytes and of floats in [-1, 1)."
        )
    if images.dtype != np.int8:
        raise DataError(
            f"The images are {images.dtype}; the model takes int8: byte - 128, as "
            "mcuformer_tflm.quantize_images(bytes) gives it."
        )


def to_floats(images: np.ndarray, what: str = "images") -> np.ndarray:
    """Returns images as a network takes them, float32 in [-1, 1).

    Args:
        images: Bytes, uint8, or floats that are in [-1, 1) already.
        what: How the error calls them.

    Raises:
        DataError: If they are something else.
    """
    check_pixels(images, what)
    if images.dtype != np.uint8:
        return images.astype(np.float32, copy=False)
    return (images.astype(np.float32) - 128) * np.float32(IMAGE_SCALE)


def to_integers(images: np.ndarray, what: str = "images") -> np.ndarray:
    """Returns images as a converted model takes them, int8, rounded as the quantized network does.

    Args:
        images: As for ``to_floats``.
        what: How the error calls them.

    Raises:
        DataError: If they are something else, such as int8 already.
    """
    check_pixels(images, what)
    if images.dtype == np.uint8:
        return (images.astype(np.int16) - 128).astype(np.int8)
    # The steps of tf.quantization.fake_quant_with_min_max_args, halves rounded up.
    steps = np.clip(images.astype(np.float32), -1, 127 / 128) + np.float32(1)
    return np.floor(steps * 128 - 128 + np.float32(0.5)).astype(np.int8)


def _named(shape: Sequence[int | None]) -> str:
    return f"(n, {', '.join(map(str, shape))})"


def _floats(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and np.issubdtype(dtype, np.floating)
