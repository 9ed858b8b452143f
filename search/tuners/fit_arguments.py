"""The data that ``search`` takes as Keras' ``fit`` does: arrays, batches, validation data."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.checked_values import checked_real, checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.images import check_images
from mcuformer_tflm.keras_models.training.batches import (
    Batches,
    DatasetBatches,
    as_batches,
    as_trained_on,
    batches,
    check_classes,
    check_num_classes,
)
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.space import SearchSpace

Validation = tuple[np.ndarray, np.ndarray]

_BATCH_SIZE = 32  # that of Keras


class ShortEpochs:
    """The first batches of each epoch of other data; of a dataset, the next ones.

    Args:
        data: The other data. A ``tf.data.Dataset`` need not end.
        steps: Batches an epoch.

    Raises:
        ConfigError: If ``steps`` is no whole number, or an epoch of the data has fewer batches.
        DataError: If the data are none.
    """

    def __init__(self, data: Batches | tf.data.Dataset, steps: int) -> None:
        """Checks the number."""
        self._steps = checked_whole("steps_per_epoch", steps)
        self._endless = data.repeat() if isinstance(data, tf.data.Dataset) else None
        if self._endless is not None:
            data = DatasetBatches(self._endless.take(self._steps))
        self._data = as_batches(data)
        if len(self._data) < self._steps:
            raise ConfigError(
                f"steps_per_epoch is {self._steps}; the data have {len(self._data)} batches an "
                "epoch."
            )

    @property
    def num_classes(self) -> int | None:
        """Classes of the data set; None where only the labels tell."""
        return self._data.num_classes

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._steps

    def origin(self) -> Origin:
        """Returns what an epoch follows from."""
        return {**data_origin(self._data), "steps_per_epoch": self._steps}

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the batches of one epoch, counted from 0."""
        if self._endless is None:
            return self._data.epoch(epoch).take(self._steps)
        part = self._endless.skip(epoch * self._steps).take(self._steps)
        return DatasetBatches(part).epoch(0)


def fit_data(
    space: SearchSpace,
    recipe: TrainingRecipe,
    *,
    seed: int,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
) -> tuple[Batches, Validation]:
    """Returns training and validation data from arguments that mean what they do in Keras.

    Args:
        space: Whose networks learn.
        recipe: How arrays are augmented.
        seed: Of the order of arrays.
        x: Images, or batches of images and classes.
        y: Classes, where ``x`` is images.
        batch_size: Images a batch, where ``x`` is images; 32 by default.
        steps_per_epoch: Batches an epoch; by default all.
        validation_data: Images and classes, held out of training.
        validation_split: Share of ``x`` and ``y`` that is held out instead, from their end.

    Raises:
        ConfigError: If arguments contradict each other, or are out of range.
        DataError: If the data are not those of the space, or none is held out.
    """
    split = checked_real("validation_split", validation_split, high=1, open_above=True)
    batched = isinstance(x, tf.data.Dataset | Batches)
    if batched:
        beside = {"y": y, "batch_size": batch_size, "validation_split": split or None}
        for name, value in beside.items():
            if value is not None:
                raise ConfigError(
                    f"{name} is given, but x is {type(x).__name__}, batches of images and classes; "
                    f"leave {name} out. Validation data are given by "
                    "validation_data=(images, classes)."
                )
    elif y is None:
        raise DataError(
            f"x is {_told(x)} and y is None; give images as x and classes as y, or "
            "batches(images, classes, batch_size), a loader, or a tf.data.Dataset as x."
        )
    else:
        x, y = _array("x", x), _classes("y", y)
        check_images(x, space.image_shape, what="training images")
        if len(x) != len(y):
            raise DataError(f"x has {len(x)} images, but y {len(y)} classes.")
    if validation_data is None and split:
        held_out = len(x) - int(len(x) * (1 - split))
        if not 0 < held_out < len(x):
            raise DataError(
                f"validation_split is {split:g}, which holds {held_out} of {len(x)} images out."
            )
        validation_data = x[-held_out:], y[-held_out:]
        x, y = x[:-held_out], y[:-held_out]
    validation = checked_validation(validation_data, space)
    if not batched:
        size = min(_BATCH_SIZE, len(x)) if batch_size is None else batch_size
        x = batches(
            x, y, checked_whole("batch_size", size), seed=seed, num_classes=space.num_classes,
            recipe=recipe,
        )  # fmt: skip
    train = x if steps_per_epoch is None else ShortEpochs(x, steps_per_epoch)
    check_training(train, space)
    return as_batches(train), validation


def checked_validation(validation_data: Any, space: SearchSpace) -> Validation:
    """Returns validation images and classes as arrays.

    Raises:
        DataError: If they are not those of a space.
    """
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise DataError(
            f"validation_data is {_told(validation_data)}; give arrays as (images, classes), held "
            "out of training."
        )
    images = _array("validation_data", validation_data[0])
    classes = _classes("validation_data", validation_data[1])
    check_images(images, space.image_shape, what="validation images")
    if len(images) != len(classes):
        raise DataError(f"There are {len(images)} validation images, but {len(classes)} classes.")
    check_classes(classes, space.num_classes)
    return images, classes


def check_training(train: Batches | tf.data.Dataset, space: SearchSpace) -> None:
    """Checks that training data are those of a space.

    Raises:
        DataError: If they are not.
    """
    data = as_batches(train)
    check_num_classes(data, space.num_classes)
    as_trained_on(data.epoch(0), space.image_shape)


def _told(value: Any) -> str:
    """Returns what kind of thing a value is."""
    kind = type(value).__name__
    return (
        "None"
        if value is None
        else kind + (f" of {len(value)}" if isinstance(value, tuple | list) else "")
    )


def _array(field: str, values: Any) -> np.ndarray:
    try:
        return np.atleast_1d(np.asarray(values))
    except (ValueError, TypeError) as error:
        raise DataError(f"{field} is no array of numbers ({error}).") from error


def _classes(field: str, values: Any) -> np.ndarray:
    classes = _array(field, values)
    return classes[:, 0] if classes.ndim == 2 and classes.shape[1] == 1 else classes
