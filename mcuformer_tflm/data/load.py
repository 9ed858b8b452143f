"""Image data sets by name."""

from __future__ import annotations

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
    speech = _SPEECH.fullmatch(name)
    if speech:
        # Not above: these load TensorFlow, which those who only run models do without.
        from mcuformer_tflm.data.speech_commands import SpeechCommands
        from mcuformer_tflm.data.speech_features import LOG_MEL_98X40, MFCC_49X10

        features = LOG_MEL_98X40 if speech[1] == "98x40" else MFCC_49X10
        return SpeechCommands(Path(speech[2]), batch_size=1, features=features).image_data()
    images = _FOLDER.fullmatch(name)
    if images:
        height, width, channels = map(int, images.groups()[:3])
        if height != width:
            raise ConfigError(f"{name}: images of a folder are square, not {height}x{width}.")
        return from_folder(Path(images[4]), height, channels=channels)
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
