"""The steps from data to a measured model, each of which goes on where it was interrupted."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.firmware.source import operator_names
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import Batches
from mcuformer_tflm.keras_models.training.checkpoint import step_losses
from mcuformer_tflm.keras_models.training.origin import Origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher
from mcuformer_tflm.keras_models.training.trainers import train_subnet
from mcuformer_tflm.keras_models.whole_file import remove_partials, whole_folder, write_whole
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.cost import estimate_graph_cost, operators_instructions
from mcuformer_tflm.plan.picture import draw_plan
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.quantize.report import SQNR_FILE, SQNR_IMAGES, quantization_report
from mcuformer_tflm.runtime.accuracy import answers
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.instructions import is_counted
from mcuformer_tflm.search.cost.memory import eq5_bytes
from mcuformer_tflm.search.oracles.front import Front
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.fit_arguments import Validation
from mcuformer_tflm.search.tuners.project_origin import ORIGIN_FILE, keep_origin
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings, SupernetTuner
from mcuformer_tflm.task.arena import arena_to_spend
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.page.page import PAGE_FILE, page
from mcuformer_tflm.task.page.record import (
    RECORD_FILE,
    Curve,
    Operator,
    RunRecord,
    Scores,
    SpacePath,
    confusion_of,
    pictures_of,
    versions,
)
from mcuformer_tflm.task.report import MODEL_FILE, REPORT_FILE, Report
from mcuformer_tflm.task.run_file import UNFINISHED
from mcuformer_tflm.tflite.model_graph import ModelGraph

PICTURE_FILE = "memory_map.png"
FRONT_FILE = "front.png"
_FINISHED = ".finished-run"
_TEACHER_STATE = "teacher.npz"
# How networks follow a teacher, and how that is trained: as the zoo's are.
FOLLOWING: dict[str, Any] = {"distillation_weight": 0.7, "distillation_temperature": 2.0}
TEACHING = TrainingRecipe(learning_rate=3e-3, warmup_share=0.15, weight_decay=0.05, beta_2=0.999)


@dataclasses.dataclass(frozen=True)
class SpaceSearch:
    """How much work the evolution of the space does.

    Attributes:
        space: What is searched.
        starts: Walkers; or networks that are compared.
        steps: Their steps.
        epochs: Epochs of a step.
        score: How a space is scored.
        recipe: How supernets are trained.
        further_epochs: Epochs of the best space's supernet afterwards.
    """

    space: SearchSpace
    starts: int
    steps: int
    epochs: int
    score: ScoreSettings
    recipe: TrainingRecipe
    _: dataclasses.KW_ONLY
    further_epochs: int = 0


@dataclasses.dataclass(frozen=True)
class FinalTraining:
    """How the chosen subnet is trained.

    Attributes:
        train: What it sees an epoch in float.
        epochs: Those epochs.
        recipe: How, also while it is trained quantized.
        quantized: What it is calibrated on, and sees an epoch with TF-MOT's rounding.
        quantized_epochs: Those epochs; 0 calibrates it only.
        quantized_learning_rate: Peak while training quantized.
    """

    train: Batches
    epochs: int
    recipe: TrainingRecipe
    quantized: Batches
    quantized_epochs: int
    quantized_learning_rate: float


@dataclasses.dataclass(frozen=True)
class EvolvedSpace:
    """What the evolution of a space ends with.

    Attributes:
        space: The best one of one supernet that holds a subnet that fits.
        supernet: Its supernet.
        epochs: For which that was trained.
        path: The way there.
        curve: Of the supernet's last visit and further training.
    """

    space: SearchSpace
    supernet: Supernet
    epochs: int
    path: SpacePath
    curve: Curve


@dataclasses.dataclass(frozen=True)
class ComparedNetworks:
    """What a comparison of networks ends with, each trained alone.

    Attributes:
        best: The best one, as far as it was trained.
        path: The way there.
        curve: Of its training.
    """

    best: Subnet
    path: SpacePath
    curve: Curve


@contextmanager
def unfinished_run(out: Path, origin: Origin) -> Iterator[Path]:
    """Yields the folder of what a run keeps until it is finished, which removes it.

    Args:
        out: The run's results.
        origin: What they come from.

    Raises:
        ConfigError: If ``out`` holds an unfinished run that came from something else, another
            process is at work there, or it cannot be written.
    """
    with locked(out):
        project = out / UNFINISHED
        remove_partials(project)  # of an origin that a kill left half written
        kept = {path.name for path in project.iterdir()} if project.exists() else set()
        if kept == {ORIGIN_FILE}:  # refused, for too few minutes say, before it kept anything
            (project / ORIGIN_FILE).unlink()
        keep_origin(
            project,
            origin,
            begun=bool(kept - {ORIGIN_FILE}),
            advice=f"Finish that run, remove {project} to start anew, or give another out.",
        )
        yield project
        # Renamed first, so that a kill leaves nothing that looks like a run.
        shutil.rmtree(out / _FINISHED, ignore_errors=True)
        project.rename(out / _FINISHED)
        shutil.rmtree(out / _FINISHED, ignore_errors=True)


def evolve_space(
    train: Batches,
    validation: Validation,
    budget: Budget,
    work: SpaceSearch,
    *,
    project: Path,
    progress: Progress,
    seed: int,
    teacher: tf_keras.Model | None = None,
) -> EvolvedSpace:
    """Returns the best space of one supernet that holds a subnet that fits, and its supernet.

    Raises:
        BudgetError: If no subnet fits.
    """
    spaces = SpaceEvolution(
        work.space, work.starts, steps=work.steps, epochs=work.epochs, seed=seed
    )
    tuner = _search_spaces(
        spaces, train, validation, budget, work, project=project, progress=progress, seed=seed,
        teacher=teacher,
    )  # fmt: skip
    best = spaces.best_space(lambda space: budget.fits(space.smallest()))
    supernet, epochs = tuner.load_supernet(best)
    if work.further_epochs:
        supernet = tuner.train_further(best, train, validation, work.further_epochs, progress)
    curve = Curve.of("the chosen supernet", tuner.step_losses(best))
    return EvolvedSpace(best, supernet, epochs + work.further_epochs, SpacePath.of(spaces), curve)


def compare_networks(
    train: Batches,
    validation: Validation,
    budget: Budget,
    work: SpaceSearch,
    *,
    project: Path,
    progress: Progress,
    seed: int,
    teacher: tf_keras.Model | None = None,
) -> ComparedNetworks:
    """Returns the best of some networks that fit, of pairs far apart, each trained alone.

    Raises:
        BudgetError: If no subnet fits.
    """
    spaces = SpaceHalving(
        work.space, work.starts, epochs=work.epochs, reduction=max(2, work.starts), seed=seed
    )
    tuner = _search_spaces(
        spaces, train, validation, budget, work, project=project, progress=progress, seed=seed,
        teacher=teacher, start="structured", subnets="one",
    )  # fmt: skip
    pair = spaces.best_space()
    supernet, _ = tuner.load_supernet(pair)
    return ComparedNetworks(
        supernet.extract(tuner.one_network(pair)),
        SpacePath.of(spaces, steps=False),
        Curve.of("the chosen network among others", tuner.step_losses(pair)),
    )


def _search_spaces(
    spaces: SpaceOracle,
    train: Batches,
    validation: Validation,
    budget: Budget,
    work: SpaceSearch,
    *,
    project: Path,
    progress: Progress,
    teacher: tf_keras.Model | None,
    **options: Any,
) -> SupernetTuner:
    tuner = SupernetTuner(
        spaces, budget, settings=work.score, recipe=work.recipe,
        teacher=teacher if work.recipe.distillation_weight else None,
        report=progress, directory=project, project_name="spaces", **options,
    )  # fmt: skip
    tuner.search(train, validation_data=validation)
    return tuner


def choose_subnet(
    space: SearchSpace,
    supernet: Supernet,
    validation: Validation,
    budget: Budget,
    *,
    population: int,
    generations: int,
    project: Path,
    progress: Progress,
    seed: int,
) -> SubnetEvolution:
    """Returns the oracle that has scored subnets with the supernet's weights.

    Raises:
        BudgetError: If no subnet fits.
    """
    subnets = SubnetEvolution(
        space,
        budget,
        population=population,
        parents=min(10, max(2, population // 2)),
        generations=generations,
        seed=seed,
    )
    tuner = SubnetTuner(
        subnets, supernet, report=progress, directory=project, project_name="subnets"
    )
    tuner.search(validation_data=validation)
    return subnets


def fresh_teacher(data: TaskData, seed: int) -> tf_keras.Model:
    """Returns a convolutional network of a task's images and classes, with fresh weights."""
    tf_keras.utils.set_random_seed(seed)
    height, width, channels = data.image_shape
    return convolutional_teacher((height, width), channels, len(data.labels))


def train_teacher(
    data: TaskData, batches: Batches, epochs: int, *, project: Path, progress: Progress, seed: int
) -> tf_keras.Model:
    """Returns ``fresh_teacher`` after so many epochs of batches."""
    teacher = fresh_teacher(data, seed)
    train_subnet(
        teacher,
        batches,
        epochs,
        recipe=TEACHING,
        progress=lambda done, total: progress("train a teacher", done, total),
        checkpoint=project / _TEACHER_STATE,
    )
    return teacher


def taught(recipe: TrainingRecipe) -> TrainingRecipe:
    """Returns a recipe that follows the teacher, unless it says how already."""
    return recipe if recipe.distillation_weight else dataclasses.replace(recipe, **FOLLOWING)


def train_quantized(
    subnet: Subnet,
    budget: Budget,
    training: FinalTraining,
    *,
    project: Path,
    progress: Progress,
    teacher: tf_keras.Model | None = None,
) -> Subnet:
    """Trains a subnet in float, in place, and returns its quantized copy."""
    float_state, quantized_state = _checkpoints(project)
    if training.epochs:
        train_subnet(
            subnet,
            training.train,
            training.epochs,
            recipe=training.recipe,
            progress=lambda done, total: progress("train the chosen subnet", done, total),
            teacher=teacher,
            checkpoint=float_state,
        )
    return quantize(
        subnet,
        training.quantized,
        epochs=training.quantized_epochs,
        progress=lambda done, total: progress("train it quantized", done, total),
        config=budget.quantization,
        recipe=dataclasses.replace(training.recipe, learning_rate=training.quantized_learning_rate),
        teacher=teacher,
        checkpoint=quantized_state,
    )


def curve_of(name: str, checkpoint: Path) -> tuple[Curve, ...]:
    """Returns the learning curve that a checkpoint tells; none where there was no training."""
    losses = step_losses(checkpoint) if checkpoint.exists() else ()
    return (Curve.of(name, losses),) if losses else ()


def teacher_curve(project: Path) -> tuple[Curve, ...]:
    """Returns that of ``train_teacher``; none where there was no teacher."""
    return curve_of("the teacher", project / _TEACHER_STATE)


def training_curves(project: Path) -> tuple[Curve, ...]:
    """Returns those of ``train_quantized``."""
    float_state, quantized_state = _checkpoints(project)
    return (
        *curve_of("the chosen network in float", float_state),
        *curve_of("the same with rounding", quantized_state),
    )


def _checkpoints(project: Path) -> tuple[Path, Path]:
    return project / "trained.npz", project / "quantized.npz"


def measure_model(
    subnet: Subnet,
    quantized: Subnet,
    task: TaskData,
    labels: tuple[str, ...],
    budget: Budget,
    *,
    out: Path,
    progress: Progress,
    front: Front | None = None,
    record: RunRecord | None = None,
    **told: Any,
) -> Report:
    """Converts a quantized subnet, runs it in TFLM on the test images, and writes all results.

    They are put in place only when all are complete.

    Args:
        subnet: The float network.
        quantized: The same, quantized.
        task: Holds the test images.
        labels: One name a class.
        budget: What the model may take.
        out: Folder of the results: ``model.tflite``, ``report.json``, ``memory_map.png``,
            ``sqnr.png``, ``report.html``, and ``record.json``, which that is made of.
        progress: Called with (what is being done, done, total).
        record: What the page shows of the way there: command, curves, path.
        front: Of the subnets that were scored; drawn to ``front.png`` where it is given.
        **told: Fields of the report that are no figures of the model; ``seconds`` is a function.
    """
    arena = arena_to_spend(budget, quantized.architecture)
    model = convert(quantized, labels, arena_budget=arena)
    interpreter = MicroInterpreter(model)
    images, classes = task.test
    found = answers(subnet, interpreter, images, progress)
    use, plan = interpreter.arena_use, interpreter.plan
    with whole_folder(out) as results:
        write_whole(results / MODEL_FILE, model)
        draw_plan(plan, results / PICTURE_FILE, budget=budget.arena)
        sqnr = quantization_report(quantized, task.validation[0][:SQNR_IMAGES])
        sqnr.draw(results / SQNR_FILE)
        if front is not None:
            front.draw(results / FRONT_FILE)
        seconds = told.pop("seconds")
        report = Report(
            board=budget.name,
            architecture=quantized.architecture.to_json(),
            **found.accuracies(classes),
            arena_bytes=cortex_m_arena_bytes(interpreter.graph, plan),
            arena_bytes_host=use.smallest_arena,
            head_bytes=use.head,
            head_lower_bound_bytes=plan.lower_bound,
            flash_bytes=len(model),
            eq5_bytes=eq5_bytes(quantized.architecture),
            sram_budget_bytes=budget.sram,
            flash_budget_bytes=budget.flash,
            seconds=round(seconds(), 1),
            **told,
            **_estimates(interpreter.graph, budget),
        )
        report.write(results / REPORT_FILE)
        whole = dataclasses.replace(
            record or RunRecord(),
            labels=labels,
            versions=versions(),
            scores=None if front is None else Scores.of(front),
            layers=sqnr.layers,
            operators=_operators(interpreter.graph, budget),
            confusion=confusion_of(classes, found.int8_choice, len(labels)),
            pictures=pictures_of(images, classes, _real(found.int8_logits, interpreter.graph)),
        )
        whole.write(results / RECORD_FILE)
        write_whole(results / PAGE_FILE, page(report, whole, plan))
    return report


def _operators(graph: ModelGraph, budget: Budget) -> tuple[Operator, ...]:
    board = budget.board
    if board is None or not is_counted(board.core):
        return ()
    counts = operators_instructions(graph, board.core)
    return tuple(
        Operator(name, round(count))
        for name, count in zip(operator_names(graph), counts, strict=True)
        if count is not None
    )


def _real(logits: np.ndarray, graph: ModelGraph) -> np.ndarray:
    output = graph.tensors[graph.outputs[0]]
    return (logits.astype(np.float64) - output.zero_point) * output.scale


def _estimates(graph: ModelGraph, budget: Budget) -> dict[str, Any]:
    limit: dict[str, Any] = {"milliseconds_budget": budget.milliseconds}
    board = budget.board
    if board is None or not is_counted(board.core):
        return limit
    estimate = estimate_graph_cost(graph, board)
    if estimate is None:
        return limit
    return limit | {
        "instructions_estimated": estimate.instructions,
        "milliseconds_estimated": estimate.milliseconds,
    }
