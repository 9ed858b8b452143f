"""The whole flow for one task: search, train, quantize, convert, run in TFLM."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import tf_keras

from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import train_subnet
from mcuformer_tflm.keras_models.whole_file import whole_folder, write_whole
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.cost import estimate_graph_cost
from mcuformer_tflm.plan.picture import draw_plan
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.quantize.report import SQNR_FILE, SQNR_IMAGES, quantization_report
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.instructions import is_counted
from mcuformer_tflm.search.cost.memory import eq5_bytes
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.project_origin import keep_origin, validation_origin
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings, SupernetTuner
from mcuformer_tflm.task.arena import arena_to_spend
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.tflite.model_graph import ModelGraph

MODEL_FILE = "model.tflite"
REPORT_FILE = "report.json"
PICTURE_FILE = "memory_map.png"
_UNFINISHED, _FINISHED = "unfinished-run", ".finished-run"


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """How much work to do.

    Attributes:
        space: What is searched.
        starts: Walkers of the space's evolution.
        steps: Their steps.
        search_epochs: Epochs of a step.
        score: How a space is scored.
        population: Subnets a generation.
        generations: Generations after the first.
        search_recipe: How supernets are trained. Where it distils, their subnets follow the teacher
            that is given.
        train_epochs: Epochs of the chosen subnet in float.
        train_recipe: How, also while it is trained quantized. Where it distils, the supernet's
            largest subnet teaches, or the teacher that is given.
        quantized_epochs: Its epochs with TF-MOT's rounding.
        quantized_learning_rate: Peak while training quantized.
    """

    space: SearchSpace
    starts: int = 1
    _: dataclasses.KW_ONLY
    steps: int = 2
    search_epochs: int = 1
    score: ScoreSettings = dataclasses.field(
        default_factory=lambda: ScoreSettings(accuracy_samples=4, fit_samples=200)
    )
    population: int = 8
    generations: int = 2
    search_recipe: TrainingRecipe = dataclasses.field(default_factory=TrainingRecipe)
    train_epochs: int = 3
    train_recipe: TrainingRecipe = dataclasses.field(default_factory=TrainingRecipe)
    quantized_epochs: int = 1
    quantized_learning_rate: float = 3e-4

    def smoke(self) -> TaskSettings:
        """Returns the least work that goes through every step, on networks of two blocks."""
        space = self.space
        return dataclasses.replace(
            self,
            space=dataclasses.replace(
                space,
                patch_size=space.patch_size[-1:],
                rank_ratio=space.rank_ratio[:1],
                stem=space.stem[:1],
                embed_dim=space.embed_dim[:1],
                depth=(2,),
            ),
            starts=1,
            steps=1,
            search_epochs=1,
            score=ScoreSettings(accuracy_samples=1, fit_samples=10),
            population=2,
            generations=1,
            train_epochs=1,
            quantized_epochs=1,
        )


def run_task(
    data: TaskData,
    budget: Budget,
    out: AnyPath,
    progress: Progress,
    seed: int,
    settings: TaskSettings,
    *,
    teacher: tf_keras.Model | None = None,
) -> Report:
    """Searches, trains, converts and measures one model.

    The search and the training keep their state under ``out``, so that an interrupted run goes
    on where it was; a finished run removes it. One that came from other data, options or seed is
    refused. Results are put in place only when all are complete.

    Args:
        data: What it learns.
        budget: What the model may take, and how it is quantized.
        out: Folder of the results: ``model.tflite``, ``report.json``, ``memory_map.png`` and
            ``sqnr.png``.
        progress: Called with (what is being done, done, total).
        seed: Of all random choices; the data's batches have their own.
        settings: How much work to do.
        teacher: A network, images to logits, that the chosen subnet follows besides the labels, and
            the supernets' subnets where their recipe distils.

    Returns:
        The report, which is also in ``report.json``.

    Raises:
        BudgetError: If no subnet fits.
        ConfigError: If the labels are not one name for each class of the space, a teacher is given
            and the recipe does not distil, ``out`` holds an unfinished run of other data or
            options, another process is at work there, or it cannot be written.
    """
    out = checked_path("out", out)
    with locked(out):
        return _run(data, budget, out, progress, seed, settings, teacher)


def _run(
    data: TaskData,
    budget: Budget,
    out: Path,
    progress: Progress,
    seed: int,
    settings: TaskSettings,
    teacher: tf_keras.Model | None,
) -> Report:
    labels = class_names(data.labels, settings.space.num_classes)
    if teacher is not None and not settings.train_recipe.distillation_weight:
        raise ConfigError("distillation_weight is 0, but there is a teacher; give it a share.")
    start = time.monotonic()
    tf_keras.utils.set_random_seed(seed)
    project = out / _UNFINISHED
    keep_origin(
        project,
        _origin(data, budget, seed, settings, teacher),
        begun=project.exists() and any(project.iterdir()),
        advice=f"Finish that run, remove {project} to start anew, or give another out.",
    )
    supernet, evolution = _search(data, budget, project, progress, seed, settings, teacher)
    subnet = supernet.extract(evolution.best_architecture())
    if settings.train_recipe.distillation_weight and teacher is None:
        teacher = supernet.extract(supernet.largest)
    train_subnet(
        subnet,
        data.train,
        settings.train_epochs,
        recipe=settings.train_recipe,
        progress=lambda done, total: progress("train the chosen subnet", done, total),
        teacher=teacher,
        checkpoint=project / "trained.npz",
    )
    quantized = quantize(
        subnet,
        data.quantized,
        epochs=settings.quantized_epochs,
        progress=lambda done, total: progress("train it quantized", done, total),
        config=budget.quantization,
        recipe=dataclasses.replace(
            settings.train_recipe, learning_rate=settings.quantized_learning_rate
        ),
        teacher=teacher,
        checkpoint=project / "quantized.npz",
    )
    arena = arena_to_spend(budget, quantized.architecture)
    model = convert(quantized, labels, arena_budget=arena)

    interpreter = MicroInterpreter(model)
    test_images, test_classes = data.test
    found = accuracies(subnet, interpreter, test_images, test_classes, progress)
    use, plan = interpreter.arena_use, interpreter.plan
    report = Report(
        board=budget.name,
        architecture=quantized.architecture.to_json(),
        **found,
        arena_bytes=cortex_m_arena_bytes(interpreter.graph, plan),
        arena_bytes_host=use.smallest_arena,
        head_bytes=use.head,
        head_lower_bound_bytes=plan.lower_bound,
        flash_bytes=len(model),
        eq5_bytes=eq5_bytes(quantized.architecture),
        sram_budget_bytes=budget.sram,
        flash_budget_bytes=budget.flash,
        seconds=round(time.monotonic() - start, 1),
        seed=seed,
        **_estimates(interpreter.graph, budget),
    )
    with whole_folder(out) as results:
        write_whole(results / MODEL_FILE, model)
        draw_plan(plan, results / PICTURE_FILE, budget=budget.arena)
        sqnr = quantization_report(quantized, data.validation[0][:SQNR_IMAGES])
        sqnr.draw(results / SQNR_FILE)
        report.write(results / REPORT_FILE)
    # Renamed first, so that a kill leaves nothing that looks like a run.
    shutil.rmtree(out / _FINISHED, ignore_errors=True)
    project.rename(out / _FINISHED)
    shutil.rmtree(out / _FINISHED, ignore_errors=True)
    return report


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


def _search(
    data: TaskData,
    budget: Budget,
    project: Path,
    progress: Progress,
    seed: int,
    settings: TaskSettings,
    teacher: tf_keras.Model | None,
) -> tuple[Supernet, SubnetEvolution]:
    spaces = SpaceEvolution(
        settings.space,
        settings.starts,
        steps=settings.steps,
        epochs=settings.search_epochs,
        seed=seed,
    )
    supernet_tuner = SupernetTuner(
        spaces,
        budget,
        settings=settings.score,
        recipe=settings.search_recipe,
        teacher=teacher if settings.search_recipe.distillation_weight else None,
        seed=seed,
        report=progress,
        directory=project,
        project_name="spaces",
    )
    supernet_tuner.search(data.search, validation_data=data.validation)
    best = spaces.best_space(lambda space: budget.fits(space.smallest()))
    supernet, _ = supernet_tuner.load_supernet(best)
    subnets = SubnetEvolution(
        best,
        budget,
        population=settings.population,
        parents=min(10, max(2, settings.population // 2)),
        generations=settings.generations,
        seed=seed,
    )
    subnet_tuner = SubnetTuner(
        subnets, supernet, report=progress, directory=project, project_name="subnets"
    )
    subnet_tuner.search(validation_data=data.validation)
    return supernet, subnets


def _origin(
    data: TaskData,
    budget: Budget,
    seed: int,
    settings: TaskSettings,
    teacher: tf_keras.Model | None,
) -> Origin:
    # Neither labels nor test images: what is kept does not depend on them.
    return {
        "search": data_origin(data.search),
        "train": data_origin(data.train),
        "quantized": data_origin(data.quantized),
        "validation": validation_origin(data.validation),
        "budget": budget.limits,
        "seed": seed,
        "settings": dataclasses.asdict(settings) | {"space": settings.space.to_dict()},
        "teacher": None if teacher is None else weights_origin(teacher),
    }
