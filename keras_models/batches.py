"""Training data whose order depends on seed and epoch alone."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from mcuformer_tflm.keras_models.augment import augment_image, mixup
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.origin import Origin, array_origin
from mcuformer_tflm.keras_models.patch_embed import IMAGE_SCALE
from mcuformer_tflm.keras_models.recipe import TrainingRecipe


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

        Images are float32[batch, height, width, channels] in [-1, 1), classes int32[batch] or
        float32[batch, num_classes] probabilities.
        """


class ArrayBatches:
    """Shuffled batches of arrays; a rest smaller than a batch is left out.

    Args:
        images: float32[n, height, width, channels] in [-1, 1), or uint8.
        classes: int32[n].
        batch_size: Images a batch.
        seed: Of the order and the augmentation, together with the epoch.
        num_classes: Classes of the data set, where known; mixup needs it.
        recipe: How images are augmented; by default they are not.

    Raises:
        ConfigError: If ``batch_size`` is out of range, or mixup lacks ``num_classes``.
        DataError: If images and classes do not belong together.
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
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
        if len(images) != len(classes):
            raise DataError(f"There are {len(images)} images, but {len(classes)} classes.")
        if len(images) < batch_size:
            raise DataError(
                f"There are {len(images)} images, fewer than one batch of {batch_size}; give "
                "more images or a smaller batch_size."
            )
        check_classes(classes, num_classes)
        check_mixup(recipe, num_classes)
        self.recipe = recipe or TrainingRecipe()
        self.classes = classes
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.seed = seed
        self._images, self._classes = tf.constant(images), tf.constant(classes)
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

    Attributes:
        dataset: Batches of images and classes, of known number.
        num_classes: Classes of the data set, where known.
    """

    dataset: tf.data.Dataset
    num_classes: int | None = None

    def __post_init__(self) -> None:
        """Checks what the dataset gives.

        Raises:
            DataError: If it is no batches of images and classes, or their number is not known.
        """
        given = self.dataset.element_spec
        pair = isinstance(given, tuple) and len(given) == 2
        if not pair or not all(isinstance(part, tf.TensorSpec) for part in given):
            raise DataError(f"The dataset gives {given}; it must give (images, classes).")
        if given[0].shape.rank not in (4, None):
            raise DataError(
                f"The dataset gives images of shape {given[0].shape}; they must be "
                "[batch, height, width, channels]. Single images are joined by dataset.batch(n)."
            )
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
        return self.dataset


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

        def change(place: tf.Tensor, pair: Any) -> tuple[tf.Tensor, tf.Tensor]:
            place_seed = tf.random.fold_in(_seed(seed, epoch), tf.cast(place, tf.int32))
            return augment_image(pair[0], place_seed, recipe), pair[1]

        data = data.enumerate().map(change, tf.data.AUTOTUNE, deterministic=True)
    data = data.batch(batch_size, drop_remainder=True)
    return mixed(data, recipe, num_classes, seed, epoch)


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


def as_floats(images: Any) -> tf.Tensor:
    """Returns uint8 images as float32 in [-1, 1); others as they are."""
    if images.dtype != tf.uint8:
        return images
    return (tf.cast(images, tf.float32) - 128) * IMAGE_SCALE


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


def check_images(images: np.ndarray, image_shape: tuple[int, int, int]) -> None:
    """Checks that images are a network's: at least one, of its shape, bytes or floats.

    Raises:
        DataError: If they are not.
    """
    if len(images) == 0:
        raise DataError("There are no images; give some hundred.")
    if tuple(images.shape[1:]) != tuple(image_shape):
        raise DataError(
            f"The images are of shape {tuple(images.shape[1:])}, the network takes "
            f"{tuple(image_shape)}."
        )
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise DataError(
            f"The images are {images.dtype}; give uint8, or float32 in [-1, 1) (normalise)."
        )


def check_classes(classes: np.ndarray, num_classes: int | None) -> None:
    """Checks that every image has a class, a whole number from 0 to ``num_classes`` - 1.

    Raises:
        DataError: If one has not.
    """
    if len(classes) == 0:
        raise DataError("There are no labelled images.")
    if np.ndim(classes) != 1 or not np.issubdtype(np.asarray(classes).dtype, np.integer):
        raise DataError(
            f"The classes are {np.asarray(classes).dtype}{list(np.shape(classes))}; give one whole "
            "number an image. One-hot rows become numbers by classes.argmax(-1)."
        )
    low, high = int(np.min(classes)), int(np.max(classes))
    if low < 0 or (num_classes is not None and high >= num_classes):
        allowed = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        raise DataError(
            f"The classes reach from {low} to {high}; allowed are {allowed}. Build the space "
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
