"""What the network of a task learns from."""

from __future__ import annotations

import dataclasses

import numpy as np

from mcuformer_tflm.data.folder import divided
from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.data.load import folder_named, load, words_named
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.data.speech_features import FEATURES, MFCC_49X10, SpeechFeatures
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_whole
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.training.batches import Batches, batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.tuners.fit_arguments import Validation

# Images that score subnets; more take time, and tell little more.
VALIDATION_IMAGES = 2_000
_MOST_HELD_OUT = 5_000


@dataclasses.dataclass(frozen=True)
class TaskData:
    """What a task's network learns from, and what it is measured on.

    Attributes:
        labels: Class names by index.
        search: What a supernet, and its teacher, see an epoch.
        train: What the chosen subnet sees an epoch.
        quantized: What it is calibrated on, and sees an epoch while it is trained quantized.
        validation: Images and classes, held out of training, that score subnets.
        test: Images, uint8, and classes behind the reported accuracies.
        held_out: How many of a data set's training images were held out, where it is in memory.
    """

    labels: tuple[str, ...]
    search: Batches
    train: Batches
    quantized: Batches
    validation: Validation
    test: tuple[np.ndarray, np.ndarray]
    held_out: int = 0

    def __post_init__(self) -> None:
        """Checks that there is something to tell apart.

        Raises:
            DataError: If there is one class.
        """
        if len(self.labels) < 2:
            raise DataError(
                f"The data has one class, {self.labels[0]}; there must be two at least to tell "
                "apart. Of things that are there or not, give those that are not a class too."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        height, width, channels = self.validation[0].shape[1:]
        return height, width, channels


def named_task(
    name: str,
    batch_size: int,
    recipe: TrainingRecipe,
    *,
    held_out: int | None = None,
    seed: int = 0,
    data_folder: AnyPath | None = None,
) -> TaskData:
    """Returns the data of any data set that ``mcuformer_tflm.data.load`` knows by name.

    Folders of images and of words are read as they are trained on, and need not fit in memory; they
    say themselves what is held out. All others are in memory.

    Args:
        name: As for ``load``.
        batch_size: Images a step.
        recipe: How training images are augmented.
        held_out: As for ``image_task``, of data in memory.
        seed: Of all choices.
        data_folder: Where Fashion-MNIST's files lie.

    Raises:
        ConfigError: If no data set has that name, or a number is out of range.
        DataError: If its files are missing or damaged, there is one class, one has no image to
            train on, or there are fewer images than one batch.
    """
    words, images = words_named(name), folder_named(name)
    if words is not None:
        task = speech_task(
            words.folder, batch_size, recipe, features=FEATURES[words.features], seed=seed
        )
    elif images is not None:
        task = folder_task(
            images.folder, images.image_size, images.channels, batch_size, recipe, seed=seed
        )
    else:
        loaded = load(name, data_folder)
        return image_task(loaded, batch_size, recipe, held_out=held_out, seed=seed)
    pictures, classes = (part[:VALIDATION_IMAGES] for part in task.validation)
    return dataclasses.replace(task, validation=(pictures, classes))


def image_task(
    data: ImageData,
    batch_size: int,
    recipe: TrainingRecipe,
    *,
    held_out: int | None = None,
    seed: int = 0,
) -> TaskData:
    """Returns the data of images in memory.

    The chosen subnet learns from all training images: those that were held out have told by then
    what they were held out for.

    Args:
        data: Images and classes.
        batch_size: Images a step.
        recipe: How training images are augmented.
        held_out: How many of the training images, the last ones, subnets are scored on instead:
            the first ``VALIDATION_IMAGES`` of them. By default a tenth, 5,000 at most. Where the
            images lie in order of their classes, so many are taken at equal distances.
        seed: Of order and augmentation.

    Raises:
        ConfigError: If ``held_out`` is none of the images, or all.
        DataError: If there is one class, one has no image to train on, or there are fewer images
            than one batch.
    """
    images, classes = data.train_images, data.train_classes
    missing = sorted(set(range(len(data.labels))) - set(classes.tolist()))
    if missing and len(data.labels) > 1:
        names = ", ".join(data.labels[index] for index in missing[:10])
        raise DataError(
            f"{data.name} has no image of {names} to train on; add some, or leave the class out."
        )
    count = min(_MOST_HELD_OUT, len(images) // 10) if held_out is None else held_out
    checked_whole("held_out", count, most=len(images) - 1)
    chosen = _held_out(classes, count)
    rest = np.ones(len(images), bool)
    rest[chosen] = False
    search, train = (
        batches(shown, wanted, batch_size, seed=seed, num_classes=len(data.labels), recipe=recipe)
        for shown, wanted in ((images[rest], classes[rest]), (images, classes))
    )
    scored = chosen[:VALIDATION_IMAGES]
    return TaskData(
        data.labels, search, train, train, (images[scored], classes[scored]),
        (data.test_images, data.test_classes), count,
    )  # fmt: skip


def _held_out(classes: np.ndarray, count: int) -> np.ndarray:
    """Returns the last places; of images in order of their classes, places all along."""
    shares = np.bincount(classes) / len(classes)
    # Two neighbours of a shuffled data set are of unlike classes so often.
    unlike = 1 - np.sum(shares**2)
    if np.mean(classes[1:] != classes[:-1]) < unlike / 2:
        return np.linspace(0, len(classes) - 1, count).astype(int)
    return np.arange(len(classes) - count, len(classes))


def folder_task(
    folder: AnyPath,
    image_size: int,
    channels: int,
    batch_size: int,
    recipe: TrainingRecipe,
    *,
    seed: int = 0,
    images_in_memory: int = 10_000,
) -> TaskData:
    """Returns the data of a folder of class folders.

    Args:
        folder: As for ``data.folder.divided``.
        image_size: Height and width of what is cut out, in pixels.
        channels: 1 or 3.
        batch_size: Images a step.
        recipe: How training images are augmented.
        seed: Of their order, crops and augmentation.
        images_in_memory: At most so many images to validate, and to test.

    Raises:
        ConfigError: If a size is out of range.
        DataError: If there are no class folders, or too few images.
    """
    train, chooser, test = divided(
        folder, image_size, batch_size, seed=seed, channels=channels, recipe=recipe
    )
    validation, tested = (part.arrays(images_in_memory) for part in (chooser, test))
    return TaskData(train.labels, train, train, train, validation, tested)


def speech_task(
    folder: AnyPath,
    batch_size: int,
    recipe: TrainingRecipe,
    *,
    features: SpeechFeatures = MFCC_49X10,
    seed: int = 0,
) -> TaskData:
    """Returns the data of a folder in the layout of Speech Commands.

    Args:
        folder: As for ``SpeechCommands``.
        batch_size: Examples a step.
        recipe: How their pictures are augmented.
        features: What the network sees of a second.
        seed: Of all choices.

    Raises:
        ConfigError: If a size is out of range.
        DataError: If a part is empty.
    """
    words = SpeechCommands(folder, batch_size, features=features, seed=seed, recipe=recipe)
    return TaskData(
        words.labels,
        words,
        words,
        words,
        words.arrays("validation"),
        words.arrays("testing"),
    )
