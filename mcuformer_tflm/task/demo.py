"""The whole flow on Fashion-MNIST: search, train, quantize, convert, run in TFLM."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.training.batches import batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.flow import TaskSettings, run_task
from mcuformer_tflm.task.report import Report


@dataclasses.dataclass(frozen=True)
class DemoSettings:
    """How much work the demo does; the defaults fit ten minutes on two cores.

    Attributes:
        space: What is searched.
        search_images: Training images that the supernets see an epoch.
        validation_images: Images, held out of training, that score subnets.
        starts: Walkers of the space's evolution.
        steps: Their steps.
        population: Subnets a generation.
        generations: Generations after the first.
        train_images: Training images of the chosen subnet.
        train_epochs: Its epochs in float.
        quantized_images: Training images with TF-MOT's rounding.
        quantized_epochs: Its epochs with TF-MOT's rounding.
        batch_size: Images a step.
        learning_rate: Peak while training in float.
        quantized_learning_rate: Peak while training quantized.
        test_images: Images behind the reported accuracies.
    """

    space: SearchSpace = FASHION_MNIST_SPACE
    search_images: int = 16_000
    validation_images: int = 2_000
    starts: int = 3
    steps: int = 2
    population: int = 8
    generations: int = 2
    train_images: int = 40_000
    train_epochs: int = 3
    quantized_images: int = 20_000
    quantized_epochs: int = 1
    batch_size: int = 128
    learning_rate: float = 2e-3
    quantized_learning_rate: float = 3e-4
    test_images: int = 10_000


def run_demo(
    data: ImageData,
    budget: Budget,
    out: AnyPath,
    progress: Progress,
    seed: int = 0,
    settings: DemoSettings | None = None,
) -> Report:
    """Runs the whole flow, as ``run_task`` does, on images in memory.

    Args:
        data: Images and labels.
        budget: What the model may take, and how it is quantized.
        out: Folder of the results: ``model.tflite``, ``report.json``, ``memory_map.png`` and
            ``sqnr.png``.
        progress: Called with (what is being done, done, total).
        seed: Of all random choices.
        settings: How much work to do.

    Returns:
        The report, which is also in ``report.json``.

    Raises:
        BudgetError: If no subnet fits.
    """
    settings = settings or DemoSettings()
    held_out = settings.validation_images
    images = normalise(data.train_images[held_out:][: settings.train_images])
    classes = data.train_classes[held_out:][: settings.train_images]
    shown, rounded, tested = (
        slice(count)
        for count in (settings.search_images, settings.quantized_images, settings.test_images)
    )
    return run_task(
        TaskData(
            data.labels,
            batches(images[shown], classes[shown], settings.batch_size, seed=seed),
            batches(images, classes, settings.batch_size, seed=seed),
            batches(images[rounded], classes[rounded], settings.batch_size, seed=seed),
            (normalise(data.train_images[:held_out]), data.train_classes[:held_out]),
            (data.test_images[tested], data.test_classes[tested]),
        ),
        budget,
        out,
        progress,
        seed,
        TaskSettings(
            settings.space,
            settings.starts,
            steps=settings.steps,
            population=settings.population,
            generations=settings.generations,
            search_recipe=TrainingRecipe(learning_rate=settings.learning_rate),
            train_epochs=settings.train_epochs,
            train_recipe=TrainingRecipe(learning_rate=settings.learning_rate),
            quantized_epochs=settings.quantized_epochs,
            quantized_learning_rate=settings.quantized_learning_rate,
        ),
    )
