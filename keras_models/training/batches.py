"""Training data whose order depends on seed and epoch alone."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.architecture import MAX_CLASSES
from mcuformer_tflm.keras_models.checked_values import checked_seed, checked_type, checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.image_network import as_floats
from mcuformer_tflm.keras_models.images import (
    LARGEST_PIXEL,
    check_dtype,
    check_pixels,
    check_shape,
)
from mcuformer_tflm.keras_models.training.augment import augment_image, mixup
from mcuformer_tflm.keras_models.training.origin import Origin, array_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe

_WANTED_CLASSES = (
    "give one whole number an image. One-hot rows become numbers by classes.argmax(-1)."
)


@runtime_checkable
class Batches(Protocol):
    """An epoch of training data, the same whenever it is asked for again."""

    @property
    def num_classes(self) -> int | None:
        """Classes of the data set; None where only the labels tell."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the (images, classes) of one epoch, counted from 0.

        Images are [batch, height, width, channels], uint8 or floats in [-1, 1); classes are
        integers [batch], or float32[batch, num_classes] probabilities.
        """


class ArrayBatches:
    """Shuffled batches of arrays; a rest smaller than a batch is left out.

    Args:
        images: float[n, height, width, channels] in [-1, 1), or uint8.
        classes: Integers [n].
        batch_size: Images a batch.
        seed: Of the order and the augmentation, together with the epoch.
        num_classes: Classes of the data set, where known; mixup needs it.
        recipe: How images are augmented; by default they are not.

    Raises:
        ConfigError: If ``batch_size`` is out of range, or mixup lacks ``num_classes``.
        DataError: If images and classes do not belong together, images are neither bytes nor
            floats in [-1, 1), or a class is out of range.
    """

    def __init__(
        self,
        images: np.ndarray,
        classes: np.ndarray,
        batch_size: int,
        *,
        seed: int = 0,
        num_classes: int | None = None,
        recipe: TrainingRecipe | None = None,
    ) -> None:
        """Keeps the arrays as they are."""
        batch_size = checked_whole("batch_size", batch_size)
        seed = checked_seed(seed)
        if recipe is not None:
            checked_type("recipe", recipe, TrainingRecipe)
        images, classes = np.asarray(images), np.asarray(classes)
        if not images.ndim or not classes.ndim:
            raise DataError("The images or the classes are no array; give one class an image.")
        if len(images) != len(classes):
            raise DataError(f"There are {len(images)} images, but {len(classes)} classes.")
        if len(images) < batch_size:
            raise DataError(
                f"There are {len(images)} images, fewer than one batch of {batch_size}; give "
                "more images or a smaller batch_size."
            )
        check_pixels(images)
        check_classes(classes, num_classes)
        check_mixup(recipe, num_classes)
        self.recipe = recipe or TrainingRecipe()
        self.classes = classes.astype(np.int32, copy=False)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.seed = seed
        self._images, self._classes = tf.constant(images), tf.constant(self.classes)
        self._content: Origin = {}

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.classes) // self.batch_size

    def origin(self) -> Origin:
        """Returns what an epoch follows from; the arrays are hashed once."""
        if not self._content:
            parts = {"images": self._images, "classes": self._classes}
            self._content = {name: array_origin(part) for name, part in parts.items()}
        return {
            **self._content,
            "num_classes": self.num_classes,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augmentation": self.recipe.augmentation,
        }

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the batches of one epoch, counted from 0."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.classes))
        data = tf.data.Dataset.from_tensor_slices(order)
        if not self.recipe.augments_images:
            # Gathered a batch at a time, which takes a fraction of the calls.
            data = data.batch(self.batch_size, drop_remainder=True).map(self._gather)
            return mixed(data, self.recipe, self.num_classes, self.seed, epoch)
        data = data.map(self._gather)
        return augmented(data, self.recipe, self.batch_size, self.num_classes, self.seed, epoch)

    def _gather(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return as_floats(tf.gather(self._images, rows)), tf.gather(self._classes, rows)


@dataclasses.dataclass
class DatasetBatches:
    """A ``tf.data.Dataset`` as it is: its order is the same in every epoch only if it says so.

    Bytes become floats in [-1, 1); values are looked at when their batch comes.

    Attributes:
        dataset: Batches of images and classes, of known number.
        num_classes: Classes of the data set, where known.
    """

    dataset: tf.data.Dataset
    num_classes: int | None = None

    def __post_init__(self) -> None:
        """Checks what the dataset gives.

        Raises:
            DataError: If it is no batches of images and classes, of dtypes that these may have,
                or their number is not known.
        """
        as_trained_on(self.dataset)
        if self.dataset.cardinality() < 0:
            raise DataError(
                "The dataset does not know how many batches it has; cut it off with "
                "dataset.take(n), or tell it with tf.data.experimental.assert_cardinality(n)."
            )

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.dataset)

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the dataset."""
        return as_trained_on(self.dataset)


def batches(
    images: np.ndarray,
    classes: np.ndarray,
    batch_size: int,
    *,
    seed: int = 0,
    num_classes: int | None = None,
    recipe: TrainingRecipe | None = None,
) -> ArrayBatches:
    """Returns shuffled batches of arrays: see ``ArrayBatches``."""
    return ArrayBatches(
        images, classes, batch_size, seed=seed, num_classes=num_classes, recipe=recipe
    )


def augmented(
    data: tf.data.Dataset,
    recipe: TrainingRecipe,
    batch_size: int,
    num_classes: int | None,
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """Augments single images, and joins them to batches.

    Args:
        data: (image, class) in the order of the epoch.
        recipe: What to change.
        batch_size: Images a batch; a rest is left out.
        num_classes: Classes of the data set; mixup needs it.
        seed: Of all choices, together with the epoch and the place of an image in it.
        epoch: Counted from 0.
    """
    if recipe.augments_images:
        augment = _augmentation(recipe)

        def change(place: tf.Tensor, pair: Any) -> tuple[tf.Tensor, tf.Tensor]:
            place_seed = tf.random.fold_in(_seed(seed, epoch), tf.cast(place, tf.int32))
            return augment(pair[0], place_seed), pair[1]

        data = data.enumerate().map(change, tf.data.AUTOTUNE, deterministic=True)
    data = data.batch(batch_size, drop_remainder=True)
    return mixed(data, recipe, num_classes, seed, epoch)


@functools.cache
def _augmentation(recipe: TrainingRecipe) -> Any:
    # Traced once for all epochs, each of which is a dataset of its own.
    return tf.function(lambda image, seed: augment_image(image, seed, recipe), autograph=False)


def mixed(
    data: tf.data.Dataset, recipe: TrainingRecipe, num_classes: int | None, seed: int, epoch: int
) -> tf.data.Dataset:
    """Applies mixup to batches of (images, classes), where the recipe asks for it."""
    if recipe.mixup_alpha:

        def mix(place: tf.Tensor, pair: Any) -> tuple[tf.Tensor, tf.Tensor]:
            # Another stream than the images', whose places start at 0 too.
            place_seed = tf.random.fold_in(_seed(seed, epoch), -1 - tf.cast(place, tf.int32))
            labels = tf.one_hot(pair[1], num_classes)
            return mixup(pair[0], labels, place_seed, recipe.mixup_alpha)

        data = data.enumerate().map(mix)
    return data.prefetch(tf.data.AUTOTUNE)


def as_trained_on(
    dataset: tf.data.Dataset, image_shape: tuple[int | None, ...] | None = None
) -> tf.data.Dataset:
    """Returns a dataset of float32 images, and of integer classes or float32 probabilities.

    Args:
        dataset: Gives (images, classes) as ``Batches.epoch`` may.
        image_shape: The network's, where the images' shall be checked.

    Raises:
        DataError: If shapes or dtypes are others. Values are for ``check_batch``.
    """
    given = dataset.element_spec
    pair = isinstance(given, tuple) and len(given) == 2
    if not pair or not all(isinstance(part, tf.TensorSpec) for part in given):
        raise DataError(f"The dataset gives {given}; it must give (images, classes).")
    images, classes = given
    if images.shape.rank not in (4, None):
        raise DataError(
            f"The dataset gives images of shape {images.shape}; they must be "
            "[batch, height, width, channels]. Single images are joined by dataset.batch(n)."
        )
    check_dtype(images.dtype)
    if image_shape is not None and images.shape.rank:
        check_shape(images.shape.as_list()[1:], image_shape)
    rank = classes.shape.rank
    if not (classes.dtype.is_integer and rank in (1, None)) and not (
        classes.dtype.is_floating and rank in (2, None)
    ):
        raise DataError(f"The classes are {classes.dtype.name}{classes.shape}; {_WANTED_CLASSES}")
    wide = tf.int64 if classes.dtype.is_integer else tf.float32
    if images.dtype == tf.float32 and classes.dtype in (tf.int32, wide):
        return dataset
    return dataset.map(lambda images, classes: (as_floats(images), tf.cast(classes, wide)))


def check_batch(
    images: tf.Tensor,
    classes: tf.Tensor,
    image_shape: tuple[int | None, ...],
    num_classes: int,
) -> None:
    """Checks the values of a batch before it is trained on.

    Args:
        images: float32[batch, height, width, channels], from ``as_trained_on``.
        classes: Integers [batch], or float32[batch, num_classes].
        image_shape: The network's.
        num_classes: The network's.

    Raises:
        DataError: If images are outside [-1, 1), classes outside [0, num_classes), or rows of
            floats are no probabilities.
    """
    check_shape(images.shape[1:], image_shape)
    # Where the images lie, and in a fraction of a step's time; NaN is in no range.
    if not tf.reduce_all(tf.abs(images) <= LARGEST_PIXEL):
        check_pixels(images.numpy())
    values = classes.numpy()
    if len(values) != len(images):
        raise DataError(f"There are {len(images)} images, but {len(values)} classes in a batch.")
    if not len(values):  # a replica without a share of the last batch
        return
    if classes.dtype.is_integer:
        check_classes(values, num_classes)
    elif (
        values.shape[1:] != (num_classes,)
        or not np.all(values >= 0)
        or not np.allclose(values.sum(-1), 1, atol=1e-3)
    ):
        raise DataError(
            f"The classes are floats {list(values.shape)} that are no probabilities of "
            f"{num_classes} classes; {_WANTED_CLASSES}"
        )


def as_batches(data: Batches | tf.data.Dataset) -> Batches:
    """Returns training data as ``Batches``.

    Raises:
        DataError: If it is something else, or a dataset that is not as ``DatasetBatches`` wants.
    """
    if isinstance(data, tf.data.Dataset):
        return DatasetBatches(data)
    if not isinstance(data, Batches):
        raise DataError(
            f"The training data is a {type(data).__name__}; give batches(images, classes, "
            "batch_size), a loader, or a tf.data.Dataset."
        )
    return data


def check_mixup(recipe: TrainingRecipe | None, num_classes: int | None) -> None:
    """Checks that mixup, which blends labels, knows how many classes there are.

    Raises:
        ConfigError: If it does not.
    """
    if recipe is not None and recipe.mixup_alpha and num_classes is None:
        raise ConfigError(
            f"mixup_alpha is {recipe.mixup_alpha}, which blends labels; give num_classes too."
        )


def check_classes(classes: np.ndarray, num_classes: int | None) -> None:
    """Checks that every image has a class, a whole number from 0 to ``num_classes`` - 1.

    Raises:
        DataError: If one has not.
    """
    if len(classes) == 0:
        raise DataError("There are no labelled images.")
    classes = np.asarray(classes)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(f"The classes are {classes.dtype}{list(classes.shape)}; {_WANTED_CLASSES}")
    low, high = int(np.min(classes)), int(np.max(classes))
    greatest = (MAX_CLASSES if num_classes is None else num_classes) - 1
    if low < 0 or high > greatest:
        raise DataError(
            f"The classes reach from {low} to {high}; allowed are 0 to {greatest}. Build the space "
            "with the data set's num_classes, or number the classes from 0."
        )


def check_num_classes(data: Batches, num_classes: int) -> None:
    """Checks that a data set has the classes of a network.

    Raises:
        DataError: If it has not.
    """
    if data.num_classes is not None and data.num_classes != num_classes:
        raise DataError(
            f"The data set has {data.num_classes} classes, the network {num_classes}; build the "
            f"space with num_classes={data.num_classes}."
        )
    if isinstance(data, ArrayBatches):
        check_classes(data.classes, num_classes)


def _seed(seed: int, epoch: int) -> tf.Tensor:
    return tf.constant([seed, epoch], tf.int32)
