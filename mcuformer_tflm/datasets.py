"""Image data sets by name."""

from __future__ import annotations

from pathlib import Path

from mcuformer_tflm.data.fashion_mnist import (
    DEBIAN_FASHION_MNIST,
    FASHION_MNIST_LABELS,
    fashion_mnist,
)
from mcuformer_tflm.data.image_data import (
    ImageData,
    from_arrays,
    from_npz,
    normalise,
    quantize_images,
)
from mcuformer_tflm.data.tfds import from_tfds
from mcuformer_tflm.keras_models.exceptions import ConfigError

__all__ = [
    "DEBIAN_FASHION_MNIST",
    "FASHION_MNIST_LABELS",
    "ImageData",
    "fashion_mnist",
    "from_arrays",
    "from_npz",
    "from_tfds",
    "load",
    "normalise",
    "quantize_images",
]

_TFDS = "tfds:"


def load(name: str, folder: Path | None = None) -> ImageData:
    """Loads a data set by name.

    Args:
        name: ``"fashion-mnist"``, ``"tfds:<name>"`` where TensorFlow Datasets is installed, or
            the path of an ``.npz`` file (see ``from_npz``).
        folder: Where Fashion-MNIST's files lie; by default where Debian or Keras puts them.

    Raises:
        ConfigError: If no data set has that name.
        DataError: If its files are missing or damaged.
    """
    if name == "fashion-mnist":
        return fashion_mnist(folder)
    if name.startswith(_TFDS):
        return from_tfds(name.removeprefix(_TFDS))
    if name.endswith(".npz"):
        return from_npz(Path(name))
    raise ConfigError(
        f"There is no data set {name!r}; known are 'fashion-mnist', 'tfds:<name>', and the path "
        "of an .npz file."
    )
