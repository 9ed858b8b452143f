"""Fashion-MNIST, from Debian's package or from Keras' cache."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.untrusted_files import MOST_IDX_BYTES, gunzip, read_file

FASHION_MNIST_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
KERAS_FASHION_MNIST = Path("~/.keras/datasets/fashion-mnist")


def fashion_mnist(folder: AnyPath | None = None) -> ImageData:
    """Loads Fashion-MNIST: 60,000 + 10,000 grey images of 28x28, 10 classes.

    Args:
        folder: Folder of the four ``*-ubyte.gz`` files; by default that of the Debian package
            ``dataset-fashion-mnist``, or else the one where Keras keeps them.

    Raises:
        DataError: If a file is missing or damaged.
    """
    if folder is None:
        keras = KERAS_FASHION_MNIST.expanduser()
        installed = DEBIAN_FASHION_MNIST.is_dir() or not keras.is_dir()
        folder = DEBIAN_FASHION_MNIST if installed else keras
    folder = checked_path("folder", folder)
    return ImageData(
        "fashion-mnist",
        FASHION_MNIST_LABELS,
        read_idx(folder / "train-images-idx3-ubyte.gz", 3)[..., None],
        read_idx(folder / "train-labels-idx1-ubyte.gz", 1).astype(np.int32),
        read_idx(folder / "t10k-images-idx3-ubyte.gz", 3)[..., None],
        read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1).astype(np.int32),
    )


def read_idx(path: AnyPath, rank: int) -> np.ndarray:
    """Reads one of the files.

    Args:
        path: Of the file.
        rank: Axes of what it holds: 3 of images, 1 of classes.

    Returns:
        uint8 of the shape that the file tells.

    Raises:
        DataError: If it is missing or damaged, or unpacks to too much.
    """
    path = checked_path("path", path)
    if not path.is_file():
        raise DataError(
            f"The Fashion-MNIST file {path} does not exist. Install the Debian package "
            "(apt-get install dataset-fashion-mnist), or name the folder that holds the four "
            "*-ubyte.gz files with --data-folder."
        )
    try:
        content = gunzip(read_file(path, MOST_IDX_BYTES), MOST_IDX_BYTES)
        magic, *shape = struct.unpack_from(f">{1 + rank}I", content)
        data = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
        if magic != 0x800 + rank:
            raise ValueError(f"its magic number is {magic:#x}, not {0x800 + rank:#x}")
        return data.reshape(shape)
    except (OSError, ValueError, struct.error) as error:
        raise DataError(
            f"{path} is no intact IDX file ({error}). Reinstall the package: "
            "apt-get install --reinstall dataset-fashion-mnist."
        ) from error
