"""Image data sets as arrays."""

from __future__ import annotations

import dataclasses
import gzip
import struct
from pathlib import Path

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError

FASHION_MNIST_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


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


def load(name: str, folder: Path | None = None) -> ImageData:
    """Loads a data set by name.

    Args:
        name: ``"fashion-mnist"``.
        folder: Where its files lie; by default where Debian's package puts them.

    Raises:
        ConfigError: If no data set has that name.
        DataError: If its files are missing or damaged.
    """
    if name != "fashion-mnist":
        raise ConfigError(f"There is no data set {name!r}; the known one is 'fashion-mnist'.")
    return fashion_mnist(folder)


def fashion_mnist(folder: Path | None = None) -> ImageData:
    """Loads Fashion-MNIST: 60,000 + 10,000 grey images of 28x28, 10 classes.

    Args:
        folder: Folder of the four ``*-ubyte.gz`` files; by default that of the Debian package
            ``dataset-fashion-mnist``.

    Raises:
        DataError: If a file is missing or damaged.
    """
    folder = folder or DEBIAN_FASHION_MNIST
    return ImageData(
        "fashion-mnist",
        FASHION_MNIST_LABELS,
        _read_idx(folder / "train-images-idx3-ubyte.gz", 3)[..., None],
        _read_idx(folder / "train-labels-idx1-ubyte.gz", 1).astype(np.int32),
        _read_idx(folder / "t10k-images-idx3-ubyte.gz", 3)[..., None],
        _read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1).astype(np.int32),
    )


def normalise(images: np.ndarray) -> np.ndarray:
    """Maps uint8 images to float32 in [-1, 1): (byte - 128) / 128, the network's input."""
    return (images.astype(np.float32) - 128) / 128


def quantize_images(images: np.ndarray) -> np.ndarray:
    """Maps uint8 images to the int8 input of a converted model: byte - 128, exactly."""
    return (images.astype(np.int16) - 128).astype(np.int8)


def _read_idx(path: Path, rank: int) -> np.ndarray:
    if not path.is_file():
        raise DataError(
            f"The Fashion-MNIST file {path} does not exist. Install the Debian package "
            "(apt-get install dataset-fashion-mnist), or name the folder that holds the four "
            "*-ubyte.gz files with --data-folder."
        )
    try:
        content = gzip.decompress(path.read_bytes())
        magic, *shape = struct.unpack_from(f">{1 + rank}I", content)
        data = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
        if magic != 0x800 + rank:
            raise ValueError(f"its magic number is {magic:#x}, not {0x800 + rank:#x}")
        return data.reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DataError(
            f"{path} is no intact IDX file ({error}). Reinstall the package: "
            "apt-get install --reinstall dataset-fashion-mnist."
        ) from error
