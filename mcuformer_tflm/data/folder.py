"""A folder of class folders, as ImageNet and Visual Wake Words are laid out."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from mcuformer_tflm.data.class_folders import (
    class_files,
    data_parts,
    find_classes,
    warn_of_empty_classes,
)
from mcuformer_tflm.data.image_data import checked_labels
from mcuformer_tflm.data.picture import MODES, PICTURE_SUFFIXES, read_picture
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_path,
    checked_seed,
    checked_type,
    checked_whole,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.image_network import as_floats
from mcuformer_tflm.keras_models.training.batches import augmented, check_mixup
from mcuformer_tflm.keras_models.training.origin import Origin, array_origin, files_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe

# The paper resizes to 256 and cuts 240 out of that.
_RESIZE_RATIO = 256 / 240
_LARGEST_SIDE = 1 << 14
_logger = logging.getLogger(__name__)


def divided(
    folder: AnyPath, image_size: int, batch_size: int, **options: Any
) -> tuple[ImageFolder, ImageFolder, ImageFolder]:
    """Returns the images of a folder to train on, to choose by, and to test on.

    Args:
        folder: Holds ``train`` and ``val`` or ``test``, a folder of class folders each, as ImageNet
            and the scripts of Visual Wake Words leave them. All three are what they are called; of
            two, the other is to test on, and a tenth of ``train`` to choose by. Or it holds class
            folders: then a tenth each.
        image_size: As for ``ImageFolder``.
        batch_size: Training images a batch.
        **options: As for ``ImageFolder``.

    Raises:
        ConfigError: If a size is out of range.
        DataError: If there are no class folders, or not the same in all parts.
    """
    folder = checked_path("folder", folder)
    parts = data_parts(folder)
    if not parts:
        train = ImageFolder(folder, image_size, batch_size, tenths=range(2, 10), **options)
        chooser, test = (
            ImageFolder(folder, image_size, 1, tenths=(tenth,), **options) for tenth in (1, 0)
        )
        return train, chooser, test
    if "train" not in parts or len(parts) == 1:
        raise DataError(
            f"{folder} holds {', '.join(path.name for path in parts.values())} alone; it must hold "
            "train and val or test, or a folder for each class."
        )
    held_out = "test" if "test" in parts else "validation"
    test = ImageFolder(parts[held_out], image_size, 1, **options)
    if len(parts) == 3:
        train = ImageFolder(parts["train"], image_size, batch_size, **options)
        chooser = ImageFolder(parts["validation"], image_size, 1, **options)
    else:
        train = ImageFolder(parts["train"], image_size, batch_size, tenths=range(1, 10), **options)
        chooser = ImageFolder(parts["train"], image_size, 1, tenths=(0,), **options)
    for other in (chooser, test):
        if train.labels != other.labels:
            raise DataError(
                f"{folder} has the classes {', '.join(train.labels)} in {train.folder.name} and "
                f"{', '.join(other.labels)} in {other.folder.name}; all parts must have the same."
            )
    return train, chooser, test


class ImageFolder:
    """Training batches from ``folder/<class>/<image>``, for ``SupernetTrainer.train``.

    Pictures are read as ``read_picture`` says: upright, 8 bits a channel, transparency on white.
    Each image's shorter side is resized (the paper: 256), and a square is cut out (240): a
    random one while training, the middle one otherwise; bytes become (byte - 128) / 128. Order,
    crops and augmentation depend on seed and epoch alone. An image that cannot be read is
    reported once, and left out; ``skipped`` counts them. Hidden files and folders, and those of
    operating systems, are neither classes nor images; of others that are passed over, and of
    classes without an image among ``tenths``, a ``DataWarning`` tells.

    Args:
        folder: Holds one folder a class; labels are their names in order. The parts of a data set,
            ``train`` and ``test`` or ``val``, are refused: ``divided`` reads those.
        image_size: Height and width of what is cut out, in pixels.
        batch_size: Images a batch; a rest is left out.
        seed: Of all choices, together with the epoch.
        recipe: How images are augmented.
        resize: Length of the shorter side before; by default 256 / 240 of ``image_size``.
        channels: 1 (grey) or 3.
        tenths: Which tenths of the images, 0 to 9; a hash of its name says where one belongs.

    Attributes:
        folder: The folder.
        labels: Class names by index.
        num_classes: Their number.
        skipped: What was wrong with each image that could not be read, by path.

    Raises:
        ConfigError: If a size is out of range.
        DataError: If there are no class folders, one is empty, they are parts of a data set, or
            there are fewer images than one batch.
    """

    def __init__(
        self,
        folder: AnyPath,
        image_size: int,
        batch_size: int,
        *,
        seed: int = 0,
        recipe: TrainingRecipe | None = None,
        resize: int | None = None,
        channels: int = 3,
        tenths: Collection[int] = range(10),
    ) -> None:
        """Lists the folder; no image is opened yet."""
        folder = checked_path("folder", folder)
        image_size = checked_whole("image_size", image_size, most=_LARGEST_SIDE)
        batch_size = checked_whole("batch_size", batch_size)
        seed = checked_seed(seed)
        resize = round(_RESIZE_RATIO * image_size) if resize is None else resize
        resize = checked_whole("resize", resize, least=image_size, most=2 * _LARGEST_SIDE)
        checked_choice("channels", channels, tuple(MODES))
        if recipe is not None:
            checked_type("recipe", recipe, TrainingRecipe)
        if not isinstance(tenths, Collection) or not tenths or not set(tenths) <= set(range(10)):
            raise ConfigError(f"tenths is {shown(tenths)}; it must hold one or more of 0 to 9.")
        names = find_classes(folder)
        files = class_files(folder, names, suffixes=PICTURE_SUFFIXES)
        found = [
            (str(path), index)
            for index, paths in enumerate(files.values())
            for path in paths
            if _tenth_of(path.relative_to(folder)) in tenths
        ]
        if not found:
            few = "" if len(tenths) == 10 else f", or too few images for the tenths {list(tenths)}"
            raise DataError(
                f"{folder} holds no folder with images{few}; it must hold one for each class, as "
                f"{folder}/<class>/<image>.jpg."
            )
        empty = [name for name, paths in files.items() if not paths]
        if empty:
            raise DataError(
                f"{folder} holds no image of {', '.join(empty)}; add some, or remove the folder. "
                f"Read are {', '.join(sorted(PICTURE_SUFFIXES))}."
            )
        if len(found) < batch_size:
            raise DataError(
                f"{folder} holds {len(found)} images, fewer than one batch of {batch_size}; give "
                "more images or a smaller batch_size."
            )
        self.folder = folder
        self.labels = checked_labels(str(folder), names)
        self.num_classes = len(names)
        told = str(folder) if len(tenths) == 10 else f"The share {sorted(tenths)} of {folder}"
        warn_of_empty_classes(told, names, {index for _, index in found})
        check_mixup(recipe, self.num_classes)
        self.skipped: dict[str, str] = {}
        self._content: Origin = {}
        self.recipe = recipe or TrainingRecipe()
        self.batch_size = batch_size
        self.seed = seed
        self.image_size = image_size
        self.resize = resize
        self.channels = channels
        self._paths = np.array([path for path, _ in found])
        self._classes = np.array([index for _, index in found], np.int32)

    def __len__(self) -> int:
        """Batches an epoch, if every image can be read; fewer come where some cannot."""
        return len(self._paths) // self.batch_size

    def origin(self) -> Origin:
        """Returns what an epoch follows from; all images are read once, to be hashed."""
        if not self._content:
            names = [os.path.relpath(path, self.folder) for path in self._paths]
            self._content = {
                "images": files_origin(self.folder, names),
                "classes": array_origin(self._classes),
                "labels": list(self.labels),
            }
        return {
            **self._content,
            "image_size": self.image_size,
            "resize": self.resize,
            "channels": self.channels,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augmentation": self.recipe.augmentation,
        }

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Returns the batches of one epoch, counted from 0."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self._paths))
        corners = rng.uniform(size=(len(order), 2))
        data = tf.data.Dataset.from_tensor_slices((order, corners))
        data = data.map(self._read_in_graph, tf.data.AUTOTUNE, deterministic=True)
        data = data.filter(lambda pixels, label, intact: intact)
        data = data.map(lambda pixels, label, intact: (as_floats(pixels), label))
        return augmented(data, self.recipe, self.batch_size, self.num_classes, self.seed, epoch)

    def arrays(self, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Reads images, their middles cut out, to memory: for validation.

        Args:
            limit: At most so many, drawn evenly by the seed.

        Returns:
            uint8[n, image_size, image_size, channels], and their classes, int32[n].

        Raises:
            DataError: If no image can be read.
        """
        order = np.random.default_rng(self.seed).permutation(len(self._paths))[:limit]
        images = [self._read(index, None) for index in order]
        kept = [index for index, image in zip(order, images, strict=True) if image is not None]
        intact = [image for image in images if image is not None]
        if not intact:
            raise DataError(f"None of {len(order)} images could be read: {self.skipped}.")
        classes = self._classes[kept]
        if set(self._classes[order]) - set(classes):
            warn_of_empty_classes(f"What could be read of {self.folder}", self.labels, set(classes))
        return np.stack(intact), classes

    def _read_in_graph(
        self, index: tf.Tensor, corner: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        shape = (self.image_size, self.image_size, self.channels)

        def read(index: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.int32, np.bool_]:
            pixels = self._read(int(index), corner)
            intact = np.bool_(pixels is not None)
            return (
                np.zeros(shape, np.uint8) if pixels is None else pixels,
                self._classes[index],
                intact,
            )

        pixels, label, intact = tf.numpy_function(
            read, [index, corner], (tf.uint8, tf.int32, tf.bool)
        )
        return (
            tf.ensure_shape(pixels, shape),
            tf.ensure_shape(label, []),
            tf.ensure_shape(intact, []),
        )

    def _read(self, index: int, corner: np.ndarray | None) -> np.ndarray | None:
        path = self._paths[index]
        try:
            whole = read_picture(path, self.channels, shorter_side=self.resize)
        except DataError as error:
            if path not in self.skipped:
                self.skipped[path] = str(error)
                _logger.warning("Skipped image %d: %s", len(self.skipped), error)
            return None
        scale = self.resize / min(whole.size)
        size = [max(self.resize, round(scale * side)) for side in whole.size]
        whole = whole.resize((size[0], size[1]), PIL.Image.Resampling.BICUBIC)
        free = np.array(size) - self.image_size
        if corner is None:
            left, top = free // 2
        else:
            left, top = np.minimum(np.floor(corner * (free + 1)), free).astype(int)
        cut = whole.crop((left, top, left + self.image_size, top + self.image_size))
        return np.asarray(cut, np.uint8).reshape(self.image_size, self.image_size, self.channels)


def _tenth_of(path: Path) -> int:
    name = hashlib.sha1(path.as_posix().encode(), usedforsecurity=False)
    return int(name.hexdigest(), 16) % 10
