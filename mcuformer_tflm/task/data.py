"""What the network of a task learns from."""

from __future__ import annotations

import dataclasses

import numpy as np

from mcuformer_tflm.data.folder import divided
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.data.speech_features import MFCC_49X10, SpeechFeatures
from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.training.batches import Batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.tuners.fit_arguments import Validation


@dataclasses.dataclass(frozen=True)
class TaskData:
    """What a task's network learns from, and what it is measured on.

    Attributes:
        labels: Class names by index.
        search: What a supernet sees an epoch.
        train: What the chosen subnet sees an epoch.
        quantized: What it is calibrated on, and sees an epoch while it is trained quantized.
        validation: Images and classes, held out of training, that score subnets.
        test: Images, uint8, and classes behind the reported accuracies.
    """

    labels: tuple[str, ...]
    search: Batches
    train: Batches
    quantized: Batches
    validation: Validation
    test: tuple[np.ndarray, np.ndarray]


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
    arrays = (part.arrays(images_in_memory) for part in (chooser, test))
    return TaskData(train.labels, train, train, train, *arrays)


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
