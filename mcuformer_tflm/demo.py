"""The whole flow on Fashion-MNIST: search, train, quantize, convert, run in TFLM."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import tf_keras

from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.datasets import ImageData, normalise, quantize_images
from mcuformer_tflm.keras_models.checkpoint import load_weights, save_weights
from mcuformer_tflm.keras_models.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.training import batches, predict, train_subnet
from mcuformer_tflm.plan.picture import draw_plan
from mcuformer_tflm.progress import Report as Progress
from mcuformer_tflm.qat import quantize
from mcuformer_tflm.report import Report
from mcuformer_tflm.runtime.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.budget import Budget
from mcuformer_tflm.search.memory import eq5_bytes
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace
from mcuformer_tflm.search.space_evolution import SpaceEvolution
from mcuformer_tflm.search.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.supernet_tuner import ScoreSettings, SupernetTuner
from mcuformer_tflm.sqnr import quantization_report

MODEL_FILE = "model.tflite"
REPORT_FILE = "report.json"
PICTURE_FILE = "memory_map.png"
SQNR_FILE = "sqnr.png"
_SQNR_IMAGES = 256


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
    out: Path,
    progress: Progress,
    seed: int = 0,
    settings: DemoSettings | None = None,
) -> Report:
    """Searches, trains, converts and measures one model.

    The search keeps its state under ``out``, so that an interrupted run goes on where it was;
    a finished run removes it. Results are put in place only when all are complete.

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
    start = time.monotonic()
    tf_keras.utils.set_random_seed(seed)
    held_out = settings.validation_images
    validation = (normalise(data.train_images[:held_out]), data.train_classes[:held_out])
    images = normalise(data.train_images[held_out:][: settings.train_images])
    classes = data.train_classes[held_out:][: settings.train_images]
    project = out / f"search-{_fingerprint(budget, seed, settings)}"

    subnet = _search(images, classes, validation, budget, project, progress, seed, settings)
    trained = project / "trained.npz"
    if trained.exists():
        load_weights(subnet, trained)
    else:
        train_subnet(
            subnet,
            batches(images, classes, settings.batch_size, seed),
            settings.train_epochs,
            TrainingRecipe(learning_rate=settings.learning_rate),
            lambda done, total: progress("train the chosen subnet", done, total),
        )
        save_weights(subnet, trained)
    quantized = quantize(
        subnet,
        images[: settings.quantized_images],
        classes[: settings.quantized_images],
        epochs=settings.quantized_epochs,
        learning_rate=settings.quantized_learning_rate,
        batch_size=settings.batch_size,
        seed=seed,
        progress=lambda done, total: progress("train it quantized", done, total),
        config=budget.quantization,
    )
    model = convert(quantized, data.labels)

    interpreter = MicroInterpreter(model)
    test_images = data.test_images[: settings.test_images]
    test_classes = data.test_classes[: settings.test_images]
    float_choice = predict(subnet, normalise(test_images)).argmax(-1)
    int8_choice = interpreter.run(
        quantize_images(test_images),
        lambda done, total: progress("classify in TFLM", done, total),
    ).argmax(-1)
    use, plan = interpreter.arena_use, interpreter.plan
    report = Report(
        board=budget.name,
        architecture=interpreter.architecture.to_json(),
        test_images=len(test_images),
        float_top1=float(np.mean(float_choice == test_classes)),
        int8_top1=float(np.mean(int8_choice == test_classes)),
        agreement=float(np.mean(float_choice == int8_choice)),
        arena_bytes=cortex_m_arena_bytes(interpreter.graph, plan),
        arena_bytes_host=use.smallest_arena,
        head_bytes=use.head,
        head_lower_bound_bytes=plan.lower_bound,
        flash_bytes=len(model),
        eq5_bytes=eq5_bytes(interpreter.architecture),
        sram_budget_bytes=budget.sram,
        flash_budget_bytes=budget.flash,
        seconds=round(time.monotonic() - start, 1),
        seed=seed,
    )
    partial = out / "partial"
    partial.mkdir(parents=True, exist_ok=True)
    (partial / MODEL_FILE).write_bytes(model)
    draw_plan(plan, partial / PICTURE_FILE, budget=budget.arena)
    quantization_report(quantized, images[:_SQNR_IMAGES]).draw(partial / SQNR_FILE)
    report.write(partial / REPORT_FILE)
    for path in partial.iterdir():
        path.replace(out / path.name)
    partial.rmdir()
    shutil.rmtree(project, ignore_errors=True)
    return report


def _search(
    images: np.ndarray,
    classes: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    budget: Budget,
    project: Path,
    progress: Progress,
    seed: int,
    settings: DemoSettings,
) -> Subnet:
    shown = settings.search_images
    train = batches(images[:shown], classes[:shown], settings.batch_size, seed)
    spaces = SpaceEvolution(settings.space, settings.starts, settings.steps, epochs=1, seed=seed)
    supernet_tuner = SupernetTuner(
        spaces,
        budget,
        ScoreSettings(accuracy_samples=4, fit_samples=200),
        TrainingRecipe(learning_rate=settings.learning_rate),
        seed=seed,
        report=progress,
        directory=project,
        project_name="spaces",
    )
    supernet_tuner.search(train, validation_data=validation)
    best = spaces.best_space(lambda space: budget.fits(space.smallest()))
    supernet, _ = supernet_tuner.load_supernet(best)
    subnets = SubnetEvolution(
        best,
        budget,
        population=settings.population,
        parents=max(2, settings.population // 2),
        generations=settings.generations,
        seed=seed,
    )
    subnet_tuner = SubnetTuner(
        subnets, supernet, report=progress, directory=project, project_name="subnets"
    )
    subnet_tuner.search(validation_data=validation)
    return supernet.extract(subnets.best_architecture())


def _fingerprint(budget: Budget, seed: int, settings: DemoSettings) -> str:
    return hashlib.sha256(repr((budget, seed, settings)).encode()).hexdigest()[:12]
