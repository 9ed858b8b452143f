"""Data sets of TensorFlow Datasets, where that package is installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from mcuformer_tflm.data.image_data import ImageData, warn_of_missing_classes
from mcuformer_tflm.keras_models.exceptions import DataError


def from_tfds(name: str) -> ImageData:
    """Loads a data set of labelled images into memory.

    Args:
        name: As ``tfds.load`` takes it; its images are all of one size, its splits ``train``
            and ``test`` or ``validation``.

    Raises:
        DataError: If the package is not installed, or the data set is of another kind.
    """
    try:
        tfds = importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise DataError(
            f"The data set tfds:{name} needs TensorFlow Datasets; install it with "
            "pip install tensorflow-datasets."
        ) from error
    builder = tfds.builder(name)
    features, splits = builder.info.features, builder.info.splits
    if "image" not in features or "label" not in features:
        raise DataError(f"tfds:{name} has no labelled images, but {sorted(features)}.")
    if not hasattr(features["label"], "names"):
        raise DataError(f"The labels of tfds:{name} are {features['label']}, and not classes.")
    if None in features["image"].shape:
        raise DataError(
            f"The images of tfds:{name} are {features['image'].shape}, of various sizes; write "
            "them to a folder of class folders, and use ImageFolder."
        )
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    if "train" not in splits or held_out is None:
        raise DataError(f"tfds:{name} has the splits {sorted(splits)}; train and test are needed.")
    builder.download_and_prepare()

    def read(split: str) -> tuple[np.ndarray, np.ndarray]:
        whole: Any = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        return whole["image"], np.asarray(whole["label"], np.int32)

    labels = tuple(features["label"].names)
    data = ImageData(f"tfds:{name}", labels, *read("train"), *read(held_out))
    warn_of_missing_classes(data)
    return data
