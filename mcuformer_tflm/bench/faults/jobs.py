"""Long jobs in small: what a night computes, on networks and images that take seconds.

Each writes into a folder, can be gone on with there, and returns what it found, which a kill must
not change. They run in forks: ``prepare`` first.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.training.origin import digest
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.space import SearchSpace

_LABELS = ("top", "middle", "bottom")
_SIZE, _IMAGES, _BATCH = 8, 96, 16
_ARCHITECTURE = Architecture(_SIZE, 1, 3, 4, 0.5, 4, 8, (1,), (2.0,))
_SPACE = SearchSpace(
    image_size=_SIZE, channels=1, num_classes=3, patch_size=(4,), rank_ratio=(0.5, 1.0),
    embed_dim=(4, 8), depth=(1,), num_heads=(1, 2), mlp_ratio=(1.0, 2.0), head_dim=(4,),
)  # fmt: skip
_WORKER_TIMEOUT = 15.0
_BUDGET = Budget(10**6, 10**6, "roomy")

# What a job found, as JSON has it.
Found = dict[str, Any]
Job = Callable[[Path], Found]


def load() -> None:
    """Imports what jobs need, once for all forks; nothing is computed."""
    for name in (
        "task.flow",
        "task.board_search",
        "zoo.making",
        "quantize.quantize",
        "search.tuners.supernet_tuner",
    ):
        importlib.import_module(f"mcuformer_tflm.{name}")


def prepare() -> None:
    """Lets TensorFlow run operation by operation, in one thread.

    Of a few steps on small networks, traces and threads would take most of the time.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.run_functions_eagerly(True)


def picture_data() -> ImageData:
    """Returns images whose class is their brightest third."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, _IMAGES).astype(np.int32)
    images = rng.integers(60, 160, (_IMAGES, _SIZE, _SIZE, 1)).astype(np.uint8)
    for image, number in zip(images, classes, strict=True):
        image[2 * number : 2 * number + 3] += 60
    return ImageData("thirds", _LABELS, images, classes, images[:24], classes[:24])


def _search_job(folder: Path) -> Found:
    """Searches spaces and subnets; finds visits, scores, weights and the choice."""
    from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
    from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
    from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
    from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings, SupernetTuner

    images, classes = _floats()
    spaces = SpaceEvolution(_SPACE, 1, steps=3, epochs=2)
    tuner = SupernetTuner(
        spaces, _BUDGET, settings=ScoreSettings(accuracy_samples=2, fit_samples=10),
        directory=folder, project_name="spaces", report=_quiet,
    )  # fmt: skip
    tuner.search(images, classes, batch_size=_BATCH, validation_data=(images[:48], classes[:48]))
    best = spaces.best_space()
    supernet, _ = tuner.load_supernet(best)
    subnets = SubnetEvolution(best, _BUDGET, population=4, parents=2, generations=1)
    SubnetTuner(subnets, supernet, directory=folder, project_name="subnets", report=_quiet).search(
        validation_data=(images[:48], classes[:48])
    )
    return {
        "visits": [list(visit) for visit in spaces.history],
        "scores": {subnet.to_json(): score for subnet, score in subnets.scores.items()},
        "weights": _told(supernet),
        "best": subnets.best_architecture().to_json(),
    }


def _train_job(folder: Path) -> Found:
    """Trains a subnet in float; finds its weights."""
    subnet = _subnet()
    _train(subnet, folder / "trained.npz", epochs=6)
    return {"weights": _told(subnet)}


def _quantize_job(folder: Path) -> Found:
    """Trains a subnet quantized and converts it; finds the model's bytes."""
    from mcuformer_tflm.convert.converter import convert
    from mcuformer_tflm.keras_models.whole_file import write_whole
    from mcuformer_tflm.quantize.quantize import quantize as train_quantized

    data = picture_data()
    quantized = train_quantized(
        _subnet(), data.train_images, data.train_classes, epochs=4, batch_size=_BATCH,
        checkpoint=folder / "quantized.npz",
    )  # fmt: skip
    model = convert(quantized, _LABELS)
    write_whole(folder / "model.tflite", model)
    return {"model": digest([model])}


def _zoo_job(folder: Path) -> Found:
    """Makes a baseline as the zoo does, teacher included; finds the bytes of its files."""
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import Training, ZooRecipe

    stretch = Training(2, _BATCH, TrainingRecipe())
    taught = Training(2, _BATCH, TrainingRecipe(distillation_weight=0.5))
    like = ZooRecipe("tiny", "thirds", 0, 64, _ARCHITECTURE, 4, stretch, taught, taught)
    recipe = like.with_network("tiny_baseline", _ARCHITECTURE)
    make_model(recipe, picture_data(), folder / "zoo", folder / "work", _quiet)
    return _files(folder / "zoo")


def _report_job(folder: Path) -> Found:
    """Searches, trains, quantizes, converts and reports; finds the model's bytes and the report."""
    from mcuformer_tflm.keras_models.training.batches import batches
    from mcuformer_tflm.task.data import TaskData
    from mcuformer_tflm.task.flow import TaskSettings, run_task

    images, classes = _floats()
    data = picture_data()
    train = batches(images, classes, _BATCH, seed=0)
    run_task(
        TaskData(
            _LABELS, train, train, train, (images[:48], classes[:48]),
            (data.test_images, data.test_classes),
        ),
        _BUDGET, folder / "out", _quiet, 0, TaskSettings(_SPACE).smoke(),
    )  # fmt: skip
    return _reported(folder / "out")


def _specialise_job(folder: Path) -> Found:
    """Searches a trained supernet's subnets for a board, as ``mcuformer search --supernet`` does.

    The work that fits its minutes is planned by a speed that is given: a measured one plans other
    work each time. Finds the model's bytes and the report.
    """
    import tf_keras

    from mcuformer_tflm.keras_models.supernet import Supernet
    from mcuformer_tflm.keras_models.training.batches import batches
    from mcuformer_tflm.search.trained_supernet import TrainedSupernet
    from mcuformer_tflm.task import board_search
    from mcuformer_tflm.task.data import TaskData
    from mcuformer_tflm.task.minutes import Speed, mean_macs
    from mcuformer_tflm.task.run_file import SearchRun

    space = _SPACE.at(4, 0.5)
    speed = Speed(3.0, 15.0, 2.0, mean_macs(space))
    # In this fork alone.
    for name in ("supernet_speed", "score_speed", "network_speed"):
        setattr(board_search, name, lambda *_: speed)
    setattr(board_search.Clock, "seconds", lambda _: 10.0)  # noqa: B010
    tf_keras.utils.set_random_seed(0)
    trained = TrainedSupernet(Supernet(space.largest()), space, "thirds", _LABELS, 48, 1, {})
    images, classes = _floats()
    data, train = picture_data(), batches(images[:48], classes[:48], _BATCH, seed=0)
    task = TaskData(
        _LABELS, train, train, train, (images[48:], classes[48:]),
        (data.test_images, data.test_classes), 48,
    )  # fmt: skip
    run = SearchRun("thirds", "stm32f427", supernet="tiny", minutes=2, batch_size=_BATCH)
    board_search.run_search(run, task, folder / "out", _quiet, supernet=trained)
    return _reported(folder / "out")


def distributed_search(folder: Path) -> None:
    """Searches spaces as keras-tuner's environment says, as chief or as worker: four trials."""
    from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
    from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings, SupernetTuner

    images, classes = _floats()
    tuner = SupernetTuner(
        SpaceEvolution(_SPACE, 2, steps=2, epochs=1, worker_timeout=_WORKER_TIMEOUT), _BUDGET,
        settings=ScoreSettings(accuracy_samples=1, fit_samples=10), directory=folder,
        project_name="spaces", report=_quiet,
    )  # fmt: skip
    tuner.search(images, classes, batch_size=_BATCH, validation_data=(images[:48], classes[:48]))


JOBS: dict[str, Job] = {
    "search": _search_job, "train": _train_job, "quantize": _quantize_job, "zoo": _zoo_job,
    "report": _report_job, "specialise": _specialise_job,
}  # fmt: skip


def remains(folder: Path) -> list[str]:
    """Returns what a job that ended must not have left: parts of files, locks."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if "partial" in path.name or path.name == ".lock"
    )


def _floats() -> tuple[np.ndarray, np.ndarray]:
    data = picture_data()
    return normalise(data.train_images), data.train_classes


def _subnet() -> Any:
    import tf_keras

    from mcuformer_tflm.keras_models.subnet import build_subnet

    tf_keras.utils.set_random_seed(0)
    return build_subnet(_ARCHITECTURE)


def _train(subnet: Any, checkpoint: Path, epochs: int) -> None:
    from mcuformer_tflm.keras_models.training.batches import batches
    from mcuformer_tflm.keras_models.training.trainers import train_subnet

    images, classes = _floats()
    train_subnet(
        subnet, batches(images, classes, _BATCH, seed=0), epochs, recipe=TrainingRecipe(),
        checkpoint=checkpoint,
    )  # fmt: skip


def _told(model: Any) -> str:
    from mcuformer_tflm.keras_models.training.origin import weights_origin

    return weights_origin(model)


def _files(folder: Path, pattern: str = "*") -> Found:
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): digest([path.read_bytes()]) for path in paths}


def _reported(out: Path) -> Found:
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    told.pop("seconds")
    return _files(out, "model.tflite") | told


def _quiet(label: str, done: int, total: int, info: str = "") -> None:
    """Reports nothing."""
