"""Image data sets by name."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import ImageData, from_npz
from mcuformer_tflm.data.tfds import from_tfds
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError

_TFDS = "tfds:"
_SPEECH = re.compile(r"speech-commands(?:-(49x10|98x40))?:(.+)")
_FOLDER = re.compile(r"images-(\d+)x(\d+)x(\d+):(.+)")


@dataclasses.dataclass(frozen=True)
class NamedWords:
    """A folder of spoken words, and the features that are taken of them."""

    folder: Path
    features: str


@dataclasses.dataclass(frozen=True)
class NamedImages:
    """A folder of class folders, and the size and channels of what is cut out of its images."""

    folder: Path
    image_size: int
    channels: int


def words_named(name: str) -> NamedWords | None:
    """Returns the folder of words that a data set's name tells; None where it tells another."""
    found = _SPEECH.fullmatch(name)
    return None if found is None else NamedWords(Path(found[2]), found[1] or "49x10")


def folder_named(name: str) -> NamedImages | None:
    """Returns the folder of class folders that a data set's name tells, or None.

    Raises:
        ConfigError: If its images are not square.
    """
    found = _FOLDER.fullmatch(name)
    if found is None:
        return None
    height, width, channels = map(int, found.groups()[:3])
    if height != width:
        raise ConfigError(f"{name}: images of a folder are square, not {height}x{width}.")
    return NamedImages(Path(found[4]), height, channels)


def load(name: str, folder: AnyPath | None = None) -> ImageData:
    """Loads a data set by name.

    Args:
        name: ``"fashion-mnist"``, ``"tfds:<name>"`` where TensorFlow Datasets is installed,
            ``"speech-commands:<folder>"`` (49x10 coefficients) or
            ``"speech-commands-98x40:<folder>"`` (see ``SpeechCommands``),
            ``"images-<height>x<width>x<channels>:<folder>"`` (see ``from_folder``), or the path
            of an ``.npz`` file (see ``from_npz``).
        folder: Where Fashion-MNIST's files lie; by default where Debian or Keras puts them.

    Raises:
        ConfigError: If no data set has that name.
        DataError: If its files are missing or damaged.
    """
    if name == "fashion-mnist":
        return fashion_mnist(folder)
    if name.startswith(_TFDS):
        return from_tfds(name.removeprefix(_TFDS))
    words = words_named(name)
    if words is not None:
        # Not above: these load TensorFlow, which those who only run models do without.
        from mcuformer_tflm.data.speech_commands import SpeechCommands
        from mcuformer_tflm.data.speech_features import FEATURES

        return SpeechCommands(
            words.folder, batch_size=1, features=FEATURES[words.features]
        ).image_data()
    images = folder_named(name)
    if images is not None:
        return from_folder(images.folder, images.image_size, channels=images.channels)
    if name.endswith(".npz"):
        return from_npz(Path(name))
    raise ConfigError(
        f"There is no data set {name!r}; known are 'fashion-mnist', 'tfds:<name>', "
        "'speech-commands:<folder>', 'speech-commands-98x40:<folder>', "
        "'images-<height>x<width>x<channels>:<folder>', and the path of an .npz file."
    )


def from_folder(folder: AnyPath, image_size: int, *, channels: int = 3) -> ImageData:
    """Reads a folder of class folders to memory, the middle of each image.

    Args:
        folder: As for ``data.folder.divided``.
        image_size: Height and width of what is cut out, in pixels.
        channels: 1 or 3.

    Raises:
        ConfigError: If a size is out of range.
        DataError: If there are no class folders, or no image can be read.
    """
    folder = checked_path("folder", folder)
    from mcuformer_tflm.data.folder import divided

    train, _, test = divided(folder, image_size, 1, channels=channels)
    return ImageData(folder.name, train.labels, *train.arrays(), *test.arrays())
