"""Keras' own ways into a network, each of which asks for bytes or floats in [-1, 1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.images import IMAGE_SCALE, check_dtype, check_pixels, to_floats


class ImageNetwork:
    """A network of images, to stand before ``tf_keras.Model`` among a class's bases.

    Calls, and ``fit``, ``evaluate``, ``predict`` and their like on a batch, take bytes for what
    they are, and refuse other images than bytes and floats in [-1, 1) with a ``DataError``.
    Values are looked at wherever there are some: in arrays, eager tensors and datasets.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the network on a batch of images."""
        if args:
            args = (_floats(args[0]), *args[1:])
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as ``tf_keras.Model.fit`` does."""
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, tuple):
            _check(held_out[0])
        with _checked(x) as images:
            return super().fit(images, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates as ``tf_keras.Model.evaluate`` does."""
        with _checked(x) as images:
            return super().evaluate(images, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Predicts as ``tf_keras.Model.predict`` does."""
        with _checked(x) as images:
            return super().predict(images, *args, **kwargs)  # type: ignore[misc]

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Takes a step as ``tf_keras.Model.train_on_batch`` does."""
        _check(x)
        return super().train_on_batch(x, *args, **kwargs)  # type: ignore[misc]

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluates as ``tf_keras.Model.test_on_batch`` does."""
        _check(x)
        return super().test_on_batch(x, *args, **kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts as ``tf_keras.Model.predict_on_batch`` does."""
        _check(x)
        return super().predict_on_batch(x)  # type: ignore[misc]


def as_floats(images: Any) -> tf.Tensor:
    """Returns a tensor of images as float32: bytes in [-1, 1), floats as they are.

    For graphs, where values are not known yet; ``images.to_floats`` looks at them.

    Raises:
        DataError: If they are neither bytes nor floats.
    """
    check_dtype(images.dtype)
    if images.dtype == tf.uint8:
        return (tf.cast(images, tf.float32) - 128) * IMAGE_SCALE
    return tf.cast(images, tf.float32)


def _floats(images: Any) -> Any:
    if isinstance(images, np.ndarray):
        return to_floats(images)
    if isinstance(images, tf.Tensor):  # which Keras' own placeholders are not
        if tf.executing_eagerly():
            check_pixels(images.numpy())
        return as_floats(images)
    return images


def _check(images: Any) -> None:
    for each in tf.nest.flatten(images):
        if isinstance(each, np.ndarray):
            check_pixels(each)
        elif isinstance(each, tf.Tensor):
            check_pixels(each.numpy())


@contextlib.contextmanager
def _checked(x: Any) -> Iterator[Any]:
    # What x holds for Keras' loops; of a dataset, each batch is looked at when it is drawn.
    if not isinstance(x, tf.data.Dataset):
        _check(x)
        yield x
        return
    raised: list[DataError] = []

    def look(images: np.ndarray) -> np.bool_:
        try:
            check_pixels(images)
        except DataError as error:
            raised.append(error)  # as an exception it would reach nobody but TensorFlow
        return np.bool_(not raised)

    def watch(*parts: Any) -> Any:
        images = parts[0]
        check_dtype(images.dtype)
        fine = tf.numpy_function(look, [images], tf.bool)
        with tf.control_dependencies([tf.debugging.Assert(fine, ["images"])]):
            images = tf.identity(images)
        return (images, *parts[1:]) if len(parts) > 1 else images

    check_dtype(tf.nest.flatten(x.element_spec)[0].dtype)
    try:
        yield x.map(watch)
    except tf.errors.InvalidArgumentError:
        if raised:
            raise raised[0] from None
        raise
