"""One network from images to a model, step by step; each goes on where it was interrupted.

The steps hand on in a folder: ``network.keras`` after training, ``quantized.keras`` after
quantization, ``model.tflite`` after conversion. ``record.json`` gathers what the page shows.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import tf_keras

from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.convert.labels import Labels
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.network import Network
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import predict, train_subnet
from mcuformer_tflm.keras_models.whole_file import whole_folder, write_whole
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.task.arena import arena_to_spend
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.network_run import TRAIN_FILE, NetworkRun
from mcuformer_tflm.task.page.record import RECORD_FILE, RunRecord
from mcuformer_tflm.task.report import MODEL_FILE, Report
from mcuformer_tflm.task.stages import (
    curve_of,
    measure_model,
    taught,
    teacher_curve,
    train_teacher,
    unfinished_run,
)

NETWORK_FILE = "network.keras"
QUANTIZED_FILE = "quantized.keras"
_STATE = "state.npz"


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What a step of training ends with.

    Attributes:
        network: What was trained.
        validation_top1: Share of the validation images that it classifies right.
        validation_images: How many they are.
    """

    network: Network
    validation_top1: float
    validation_images: int


def train_network(
    run: NetworkRun, data: TaskData, out: AnyPath, progress: Progress, *, command: str | None = None
) -> StepResult:
    """Trains a network in float, on all but the validation images.

    Args:
        run: Which, and how.
        data: Of ``named_task``.
        out: Folder of the results: ``network.keras``, ``train.toml``, which repeats the run, and
            ``record.json``.
        progress: Called with (what is being done, done, total).
        command: What repeats the run, for its page.

    Raises:
        ConfigError: If the labels are not one name for each class of the network, ``out`` holds
            an unfinished run of other data or options, another process is at work there, or it
            cannot be written.
        DataError: If the data are not those of the network.
        DivergedError: If training reaches a loss that is no number.
    """
    out = checked_path("out", out)
    labels = class_names(data.labels, run.architecture.num_classes)
    recipe = run.recipe
    origin: Origin = {"step": "train", "run": run.to_dict(), "data": data_origin(data.search)}
    with unfinished_run(out, origin) as project:
        teacher = None
        if run.teacher_epochs:
            recipe = taught(recipe)
            teacher = train_teacher(
                data, data.search, run.teacher_epochs, project=project, progress=progress,
                seed=run.seed,
            )  # fmt: skip
        tf_keras.utils.set_random_seed(run.seed)
        network = build_subnet(run.architecture)
        if run.start == "structured":
            initialise_attention(network, run.seed)
        train_subnet(
            network, data.search, run.epochs, recipe=recipe,
            progress=lambda done, total: progress("train the network", done, total),
            teacher=teacher, checkpoint=project / _STATE,
        )  # fmt: skip
        curves = (
            *teacher_curve(project),
            *curve_of("the network in float", project / _STATE),
        )
        with whole_folder(out) as results:
            network.save(results / NETWORK_FILE)
            run.write(results / TRAIN_FILE)
            RunRecord(labels, command=command, curves=curves).write(results / RECORD_FILE)
        (out / QUANTIZED_FILE).unlink(missing_ok=True)  # of the network that was there before
    return _result(network, data)


def quantize_network(
    network: Network,
    data: TaskData,
    out: AnyPath,
    progress: Progress,
    *,
    epochs: int = 1,
    learning_rate: float = 3e-4,
    config: QuantizationConfig | None = None,
    recipe: TrainingRecipe | None = None,
) -> StepResult:
    """Quantizes a network: calibrates it, and trains it on with rounding, on the same images.

    Args:
        network: In float.
        data: Of ``named_task``.
        out: Folder of the results: ``quantized.keras``; ``record.json`` gains a curve.
        progress: Called with (what is being done, done, total).
        epochs: Passes over the training images; 0 calibrates alone.
        learning_rate: Its peak.
        config: Widths.
        recipe: How it was trained in float: images are changed alike.

    Raises:
        ConfigError: As for ``train_network``.
        DataError: If the data are not those of the network.
        DivergedError: If training reaches a loss that is no number.
    """
    out = checked_path("out", out)
    recipe = dataclasses.replace(
        recipe or TrainingRecipe(), learning_rate=learning_rate, distillation_weight=0.0,
        precision="float32",
    )  # fmt: skip
    config = config or QuantizationConfig()
    origin: Origin = {
        "step": "quantize",
        "network": weights_origin(network),
        "data": data_origin(data.search),
        "epochs": epochs,
        "recipe": dataclasses.asdict(recipe),
        "config": dataclasses.asdict(config),
    }
    with unfinished_run(out, origin) as project:
        quantized = quantize(
            network, data.search, epochs=epochs, config=config, recipe=recipe,
            progress=lambda done, total: progress("train it with rounding", done, total),
            checkpoint=project / _STATE,
        )  # fmt: skip
        record = _kept_record(out, data)
        more = curve_of("the same with rounding", project / _STATE)
        kept = tuple(curve for curve in record.curves if curve.name not in {c.name for c in more})
        with whole_folder(out) as results:
            quantized.save(results / QUANTIZED_FILE)
            dataclasses.replace(record, curves=(*kept, *more)).write(results / RECORD_FILE)
    return _result(quantized, data)


def convert_network(
    quantized: Network, labels: Labels | None, out: AnyPath, budget: Budget
) -> bytes:
    """Converts a quantized network to ``model.tflite``, and measures nothing.

    Args:
        quantized: The network.
        labels: As for ``convert``.
        out: Folder of the model.
        budget: Whose arena it may use for speed, where that helps.

    Returns:
        The model.

    Raises:
        ConfigError: As ``convert``.
    """
    arena = arena_to_spend(budget, quantized.architecture) if _is_subnet(quantized) else None
    model = convert(quantized, labels, arena_budget=arena)
    write_whole(checked_path("out", out) / MODEL_FILE, model)
    return model


def measure_network(
    quantized: Subnet,
    data: TaskData,
    out: AnyPath,
    budget: Budget,
    progress: Progress,
    *,
    network: Subnet | None = None,
    seed: int = 0,
    data_name: str | None = None,
) -> Report:
    """Converts a quantized network, runs it on the test images, and writes what a task writes.

    Args:
        quantized: The network.
        data: Of ``named_task``.
        out: Folder of the results, as of ``run_task``.
        budget: What the model may take.
        progress: Called with (what is being done, done, total).
        network: The same before it was quantized; by default itself in float.
        seed: Of the run, to be told.
        data_name: Of the data set, to be told.

    Raises:
        ConfigError: If the labels are not one name for each class of the network.
    """
    out = checked_path("out", out)
    labels = class_names(data.labels, quantized.architecture.num_classes)
    start = time.monotonic()
    return measure_model(
        network or quantized.float_copy(), quantized, data, labels, budget, out=out,
        progress=progress, record=_kept_record(out, data), seed=seed, data=data_name,
        seconds=lambda: time.monotonic() - start,
    )  # fmt: skip


def copy_steps(source: AnyPath, out: AnyPath) -> None:
    """Copies what the steps before have left to another folder of results.

    Raises:
        OSError: If it cannot be copied.
    """
    source, out = checked_path("source", source), checked_path("out", out)
    out.mkdir(parents=True, exist_ok=True)
    for name in (NETWORK_FILE, QUANTIZED_FILE, TRAIN_FILE, RECORD_FILE):
        if (source / name).is_file() and not (out / name).exists():
            shutil.copyfile(source / name, out / name)


def _is_subnet(network: Network) -> bool:
    return isinstance(network, Subnet)


def _kept_record(folder: Path, data: TaskData) -> RunRecord:
    path = folder / RECORD_FILE
    return RunRecord.read(path) if path.exists() else RunRecord(data.labels)


def _result(network: Network, data: TaskData) -> StepResult:
    images, classes = data.validation
    right = predict(network, images).argmax(-1) == classes
    return StepResult(network, float(right.mean()), len(classes))
