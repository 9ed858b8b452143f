"""The whole flow for one task: search, train, quantize, convert, run in TFLM."""

from __future__ import annotations

import dataclasses
import time

import tf_keras

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, checked_seed
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.project_origin import validation_origin
from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.task.stages import (
    FinalTraining,
    SpaceSearch,
    choose_subnet,
    evolve_space,
    measure_model,
    train_quantized,
    training_curves,
    unfinished_run,
)


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

    @property
    def space_search(self) -> SpaceSearch:
        """How much of it the evolution of the space does."""
        return SpaceSearch(
            self.space, self.starts, self.steps, self.search_epochs, self.score, self.search_recipe
        )

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
    command: str | None = None,
) -> Report:
    """Searches, trains, converts and measures one model.

    The search and the training keep their state under ``out``, so that an interrupted run goes
    on where it was; a finished run removes it. One that came from other data, options or seed is
    refused. Results are put in place only when all are complete.

    Args:
        data: What it learns.
        budget: What the model may take, and how it is quantized.
        out: Folder of the results: ``model.tflite``, ``report.json``, ``memory_map.png``,
            ``front.png``, ``sqnr.png``, ``report.html``, and ``record.json``, which that is made
            of.
        progress: Called with (what is being done, done, total).
        seed: Of all random choices; the data's batches have their own.
        settings: How much work to do.
        teacher: A network, images to logits, that the chosen subnet follows besides the labels, and
            the supernets' subnets where their recipe distils.
        command: What repeats the run, to be told in ``report.html``.

    Returns:
        The report, which is also in ``report.json``.

    Raises:
        BudgetError: If no subnet fits.
        ConfigError: If the labels are not one name for each class of the space, a teacher is given
            and the recipe does not distil, ``out`` holds an unfinished run of other data or
            options, another process is at work there, or it cannot be written.
    """
    out, seed = checked_path("out", out), checked_seed(seed)
    labels = class_names(data.labels, settings.space.num_classes)
    if teacher is not None and not settings.train_recipe.distillation_weight:
        raise ConfigError("distillation_weight is 0, but there is a teacher; give it a share.")
    start = time.monotonic()
    tf_keras.utils.set_random_seed(seed)
    with unfinished_run(out, _origin(data, budget, seed, settings, teacher)) as project:
        evolved = evolve_space(
            data.search, data.validation, budget, settings.space_search,
            project=project, progress=progress, seed=seed, teacher=teacher,
        )  # fmt: skip
        supernet = evolved.supernet
        subnets = choose_subnet(
            evolved.space, supernet, data.validation, budget,
            population=settings.population, generations=settings.generations,
            project=project, progress=progress, seed=seed,
        )  # fmt: skip
        subnet = supernet.extract(subnets.best_architecture())
        if settings.train_recipe.distillation_weight and teacher is None:
            teacher = supernet.extract(supernet.largest)
        training = FinalTraining(
            data.train, settings.train_epochs, settings.train_recipe, data.quantized,
            settings.quantized_epochs, settings.quantized_learning_rate,
        )  # fmt: skip
        quantized = train_quantized(
            subnet, budget, training, project=project, progress=progress, teacher=teacher
        )
        record = RunRecord(
            command=command, path=evolved.path, curves=(evolved.curve, *training_curves(project))
        )
        return measure_model(
            subnet, quantized, data, labels, budget, out=out, progress=progress, seed=seed,
            front=subnets.front(), record=record, seconds=lambda: time.monotonic() - start,
        )  # fmt: skip


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
