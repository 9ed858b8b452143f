"""Labelled images in memory, and the numbers that a network reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.data.class_folders import warn_of_empty_classes
from mcuformer_tflm.keras_models.architecture import MAX_CLASSES
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.images import to_floats, to_integers
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.untrusted_files import read_npz

_ARRAYS = ("train_images", "train_classes", "test_images", "test_classes")


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled split of training and test images.

    Attributes:
        name: The data set's name.
        labels: Class names by index.
        train_images: uint8[n, height, width, channels].
        train_classes: int32[n].
        test_images: uint8[m, height, width, channels].
        test_classes: int32[m].
    """

    name: str
    labels: tuple[str, ...]
    train_images: np.ndarray
    train_classes: np.ndarray
    test_images: np.ndarray
    test_classes: np.ndarray

    def __post_init__(self) -> None:
        """Checks that all parts belong together.

        Raises:
            DataError: If they do not.
        """
        object.__setattr__(self, "labels", checked_labels(self.name, self.labels))
        for split in ("train", "test"):
            images, classes = getattr(self, f"{split}_images"), getattr(self, f"{split}_classes")
            if images.dtype != np.uint8 or images.ndim != 4:
                raise DataError(
                    f"{split}_images of {self.name} is {images.dtype}{list(images.shape)}; it "
                    "must be uint8[n, height, width, channels]."
                )
            if images.shape[1:] != self.train_images.shape[1:]:
                raise DataError(
                    f"test_images of {self.name} are {list(images.shape[1:])}, train_images "
                    f"{list(self.train_images.shape[1:])}; both must be of one size."
                )
            if classes.shape != (len(images),) or not np.issubdtype(classes.dtype, np.integer):
                raise DataError(
                    f"{split}_classes of {self.name} is {classes.dtype}{list(classes.shape)}; it "
                    f"must be an integer for each of {len(images)} images."
                )
            if len(classes) and not 0 <= classes.min() <= classes.max() < len(self.labels):
                raise DataError(
                    f"{split}_classes of {self.name} reach from {classes.min()} to "
                    f"{classes.max()}, but there are {len(self.labels)} labels; allowed are 0 to "
                    f"{len(self.labels) - 1}."
                )


def from_npz(path: AnyPath) -> ImageData:
    """Loads arrays from an ``.npz`` file.

    Args:
        path: A file of ``train_images``, ``train_classes``, ``test_images``, ``test_classes``,
            as in ``ImageData``, and, if wanted, ``labels``; grey images may lack the last axis.

    Raises:
        DataError: If the file is missing or damaged, or the arrays do not belong together.
    """
    path = checked_path("path", path)
    try:
        arrays = read_npz(path, (*_ARRAYS, "labels"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no intact .npz file ({error}).") from error
    missing = [key for key in _ARRAYS if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(_ARRAYS)}.")
    names = None
    if "labels" in arrays:
        labels = arrays["labels"]
        if labels.ndim != 1:
            raise DataError(f"labels of {path} is {list(labels.shape)}; give one name a class.")
        names = (labels.astype(str) if np.issubdtype(labels.dtype, np.integer) else labels).tolist()
    given = {key: arrays[key] for key in _ARRAYS}
    return from_arrays(path.stem, **given, labels=names)


def from_arrays(
    name: str,
    train_images: np.ndarray,
    train_classes: np.ndarray,
    test_images: np.ndarray,
    test_classes: np.ndarray,
    *,
    labels: Sequence[str | bytes] | None = None,
) -> ImageData:
    """Makes a data set of NumPy arrays.

    Args:
        name: The data set's name.
        train_images: uint8[n, height, width, channels]; grey images may lack the last axis.
        train_classes: Integers[n].
        test_images: As ``train_images``.
        test_classes: As ``train_classes``.
        labels: Class names by index, bytes as UTF-8; by default the numbers of the training
            classes.

    A ``DataWarning`` tells of classes that have no image in one of the splits.

    Raises:
        DataError: If the arrays do not belong together.
    """
    images = [x[..., None] if x.ndim == 3 else x for x in (train_images, test_images)]
    if labels is None:
        if not np.issubdtype(np.asarray(train_classes).dtype, np.integer):
            raise DataError(f"train_classes of {name} is {train_classes.dtype}; give integers.")
        count = int(np.max(train_classes)) + 1 if np.size(train_classes) else 0
        if count > MAX_CLASSES:
            raise DataError(
                f"train_classes of {name} reach to {count - 1:,}; at most {MAX_CLASSES:,} "
                "classes are counted from 0 where labels do not name them."
            )
        labels = [str(number) for number in range(count)]
    names = checked_labels(name, labels)
    data = ImageData(name, names, images[0], train_classes, images[1], test_classes)
    data = dataclasses.replace(
        data,
        train_classes=data.train_classes.astype(np.int32),
        test_classes=data.test_classes.astype(np.int32),
    )
    warn_of_missing_classes(data)
    return data


def warn_of_missing_classes(data: ImageData) -> None:
    """Warns by name of classes without an image to train on, or to test on."""
    for split in ("train", "test"):
        classes = set(getattr(data, f"{split}_classes").tolist())
        warn_of_empty_classes(f"{split}_images of {data.name}", data.labels, classes)


def checked_labels(name: str, labels: Sequence[str | bytes]) -> tuple[str, ...]:
    """Returns the class names of a data set as ``class_names`` does.

    Raises:
        DataError: If they are none that a model file can hold.
    """
    try:
        return class_names(labels)
    except ConfigError as error:
        raise DataError(f"The labels of {name} are wrong: {error}") from error


def normalise(images: np.ndarray) -> np.ndarray:
    """Maps uint8 images to float32 in [-1, 1): (byte - 128) / 128, the network's input.

    Raises:
        DataError: If they are no bytes, such as floats that are normalised already.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise DataError(
            f"The images are {images.dtype}; normalise takes bytes (uint8). Numbers of 0 to 255 "
            "become bytes by images.astype(np.uint8)."
        )
    return to_floats(images)


def quantize_images(images: np.ndarray) -> np.ndarray:
    """Maps images to the int8 input of a converted model.

    Args:
        images: uint8, which become byte - 128, exactly; or floats in [-1, 1), which are rounded
            to multiples of 1/128 as the quantized network rounds them.

    Raises:
        DataError: If they are something else, such as int8 already.
    """
    return to_integers(np.asarray(images))
