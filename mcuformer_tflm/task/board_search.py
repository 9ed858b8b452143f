"""From a run file's fields to a measured model: `mcuformer search`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tf_keras

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_kinds,
    checked_path,
    checked_whole,
)
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training.batches import Batches
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.image_space import fitting_space, image_space
from mcuformer_tflm.search.oracles.front import Front
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.progress import tell
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.trained_supernet import TrainedSupernet
from mcuformer_tflm.search.tuners.fit_arguments import ShortEpochs
from mcuformer_tflm.search.tuners.project_origin import validation_origin
from mcuformer_tflm.search.tuners.scoring import ScoreSettings
from mcuformer_tflm.task.clock import Clock, read_kept
from mcuformer_tflm.task.data import TaskData, named_task
from mcuformer_tflm.task.minutes import (
    SearchPlan,
    TrainingPlan,
    Work,
    check_specialisation,
    plan_scores,
    plan_search,
    plan_teacher,
    plan_training,
    wants_teacher,
)
from mcuformer_tflm.task.page.record import RunRecord
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.task.run_file import RUN_FILE, SearchRun
from mcuformer_tflm.task.speed import network_speed, score_speed, supernet_speed
from mcuformer_tflm.task.stages import (
    FOLLOWING,
    TEACHING,
    FinalTraining,
    SpaceSearch,
    choose_subnet,
    compare_networks,
    evolve_space,
    fresh_teacher,
    measure_model,
    taught,
    teacher_curve,
    train_quantized,
    train_teacher,
    training_curves,
    unfinished_run,
)

SUPERNET_FILE = "supernet.npz"
# Of a network that was trained for minutes, and of one that was for hours.
_QUANTIZED_LEARNING_RATE, _FINE_QUANTIZED_LEARNING_RATE = 3e-4, 1e-4
# A subnet of a trained supernet is nearly there: a little further, following the largest.
_SCORE = ScoreSettings(accuracy_samples=4, fit_samples=200)
_FINE_TUNING = TrainingRecipe(learning_rate=1e-3, **FOLLOWING)


def search_data(
    run: SearchRun, *, supernet: TrainedSupernet | None = None, data_folder: AnyPath | None = None
) -> TaskData:
    """Returns the data of a run.

    Args:
        run: Names it, or leaves that to the supernet.
        supernet: The trained supernet, where the run has one.
        data_folder: Where Fashion-MNIST's files lie.

    Raises:
        ConfigError: If there is no such data set.
        DataError: As ``named_task`` does, or if it is not what the supernet was trained on.
    """
    recipe = training_of(run, supernet)
    if supernet is None:
        assert run.data is not None
        return named_task(run.data, run.batch_size, recipe, seed=run.seed, data_folder=data_folder)
    data = named_task(
        run.data or supernet.data, run.batch_size, recipe, held_out=supernet.held_out,
        seed=run.seed, data_folder=data_folder,
    )  # fmt: skip
    supernet.check_data(data.labels, data.image_shape)
    return data


def training_of(run: SearchRun, supernet: TrainedSupernet | None) -> TrainingRecipe:
    """Returns how a run's networks are trained: as it says, or as its supernet was."""
    if run.training is not None:
        return run.training
    if supernet is None:
        return TrainingRecipe()
    told = supernet.recipe.get("training", {})
    known = told.get("recipe", told)
    return dataclasses.replace(_FINE_TUNING, **_augmentation(known))


def run_search(
    run: SearchRun,
    data: TaskData,
    out: AnyPath,
    progress: Progress,
    *,
    supernet: TrainedSupernet | None = None,
) -> Report:
    """Searches, trains, quantizes, converts and measures a model within the run's minutes.

    Networks are compared that are trained alone, one for each patch size and stem, and the best is
    trained on. With ``train_supernet`` the space evolves instead, and with that supernet or a given
    one subnets are scored with its weights, of which the best is trained on. How much of each is
    done follows from the time that a step takes, measured at the start and again for the chosen
    network. Plans and state are kept under ``out``: the same run goes on after an interruption.

    Args:
        run: What is searched.
        data: Of ``search_data``.
        out: Folder of the results: ``model.tflite``, ``report.json``, ``report.html`` and
            ``record.json``, which that is made of, ``memory_map.png``, ``sqnr.png`` and
            ``run.toml``; where subnets were scored ``front.png``; and with ``train_supernet``
            ``supernet.npz``, the best one, which serves other boards.
        progress: Called with (what is being done, done, total).
        supernet: The trained supernet that the run names.

    Returns:
        The report, which is also in ``report.json``.

    Raises:
        BudgetError: If no subnet fits.
        ConfigError: If the minutes are not enough for an epoch, or ``out`` holds an unfinished run
            of other data or options.
        DataError: If the supernet was trained on other data.
    """
    out = checked_path("out", out)
    budget, recipe = run.budget(), training_of(run, supernet)
    labels = class_names(data.labels)
    space = run.space or image_space(
        data.image_shape[:2], data.image_shape[2], num_classes=len(labels)
    )
    if supernet is not None:
        supernet.check_data(labels, data.image_shape)
        space = supernet.space
    labels = class_names(labels, space.num_classes)
    Fit(budget).require(space)
    with unfinished_run(out, _origin(run, data, space, supernet)) as project:
        (run if supernet else dataclasses.replace(run, space=space)).write(out / RUN_FILE)
        clock = Clock(project / "clock.json")
        context = _Context(run, data, budget, recipe, project, clock.heard_by(progress), clock)
        tf_keras.utils.set_random_seed(run.seed)
        if supernet is None and not run.train_supernet:
            chosen = _compared(context, space)
        else:
            chosen = _of_supernet(context, space, supernet, out)
        quantized, told = _trained(context, chosen)
        repeated = shlex.join(["mcuformer", "search", str(out / RUN_FILE), "--out", str(out)])
        curves = (*chosen.record.curves, *training_curves(project))
        record = dataclasses.replace(chosen.record, command=repeated, curves=curves)
        return measure_model(
            chosen.network, quantized, data, labels, budget, out=out, progress=context.progress,
            front=chosen.front, record=record, seed=run.seed, seconds=clock.seconds,
            data=run.data if supernet is None else supernet.data, supernet=run.supernet,
            minutes=run.minutes, left_out=(*chosen.left_out, *told),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Context:
    run: SearchRun
    data: TaskData
    budget: Budget
    recipe: TrainingRecipe
    project: Path
    progress: Progress
    clock: Clock

    def sizes(self, seen: Batches) -> dict[str, int]:
        """Returns what plans go by, of what is seen an epoch."""
        return {
            "epoch": len(seen),
            "batch_size": self.run.batch_size,
            "tested": len(self.data.test[0]),
        }

    @property
    def minutes(self) -> float:
        assert self.run.minutes is not None
        return self.run.minutes


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The network that a search ends with.

    Attributes:
        network: With the weights that it had there.
        teacher: What it follows from then on.
        left_out: What more time would allow, in words.
        record: Of the page what it shows of the way there.
        front: Of the subnets that were scored, if any were.
    """

    network: Subnet
    teacher: tf_keras.Model | None
    left_out: tuple[str, ...] = ()
    record: RunRecord = RunRecord()  # noqa: RUF009 (frozen)
    front: Front | None = None


def _of_supernet(
    context: _Context, space: SearchSpace, supernet: TrainedSupernet | None, out: Path
) -> _Chosen:
    """Returns the best subnet of a supernet: of the one that is given, or of one that evolves."""
    left_out: tuple[str, ...] = ()
    record = RunRecord()
    if supernet is None:
        teacher = _teacher(context)
        found, population, generations, left_out, record = _evolved(context, space, teacher)
        found.save(out / SUPERNET_FILE)
    else:
        found, teacher = supernet, supernet.teacher
        population, generations = _scores(context, found)
    whole = found.supernet
    subnets = choose_subnet(
        found.space, whole, context.data.validation, context.budget,
        population=population, generations=generations,
        project=context.project, progress=context.progress, seed=context.run.seed,
    )  # fmt: skip
    if context.recipe.distillation_weight and teacher is None:
        teacher = whole.extract(whole.largest)
    network = whole.extract(subnets.best_architecture())
    return _Chosen(network, teacher, left_out, record, subnets.front())


def _compared(context: _Context, space: SearchSpace) -> _Chosen:
    """Returns the best of some networks, each trained alone."""
    run, data, teacher = context.run, context.data, _teacher(context)
    recipe = _recipe_with(context.recipe, teacher)
    plan = _planned(context, space, recipe, teacher, networks=True)
    tell(
        f"Planned for {context.minutes:g} minutes: {plan.starts} networks compared, after "
        f"{plan.visit.epochs} x {plan.visit.batches} batches each."
    )
    compared = compare_networks(
        ShortEpochs(data.search, plan.visit.batches), data.validation, context.budget,
        SpaceSearch(plan.space, plan.starts, 1, plan.visit.epochs, _SCORE, recipe),
        project=context.project, progress=context.progress, seed=run.seed, teacher=teacher,
    )  # fmt: skip
    curves = (*teacher_curve(context.project), compared.curve)
    record = RunRecord(path=compared.path, curves=curves)
    return _Chosen(compared.best, teacher, _left_out(plan, teacher), record)


def _recipe_with(recipe: TrainingRecipe, teacher: tf_keras.Model | None) -> TrainingRecipe:
    """Returns how networks are trained that follow a teacher, or have none."""
    if teacher is not None:
        return taught(recipe)
    return dataclasses.replace(recipe, distillation_weight=0.0)


def _left_out(plan: SearchPlan, teacher: tf_keras.Model | None) -> tuple[str, ...]:
    return plan.left_out if teacher is not None else ("a convolutional teacher", *plan.left_out)


def _planned(
    context: _Context,
    space: SearchSpace,
    recipe: TrainingRecipe,
    teacher: tf_keras.Model | None,
    *,
    networks: bool = False,
) -> SearchPlan:
    data = context.data

    def planned() -> SearchPlan:
        fitting = fitting_space(space, Fit(context.budget))
        speed = supernet_speed(fitting, data.search, data.validation, recipe, teacher)
        spent = context.clock.seconds()
        return plan_search(
            fitting, speed, context.minutes, spent=spent, networks=networks,
            **context.sizes(data.search),
        )  # fmt: skip

    plan: SearchPlan = _kept(context.project / "plan.json", planned, _search_plan)
    return plan


def _teacher(context: _Context) -> tf_keras.Model | None:
    """Returns a convolutional network that has learnt from the training images, if time allows."""
    if not wants_teacher(context.minutes):
        return None
    data, seed = context.data, context.run.seed

    def planned() -> Work:
        speed = network_speed(fresh_teacher(data, seed), data.search, TEACHING)
        return plan_teacher(speed, context.minutes, epoch=len(data.search))

    work = _kept(context.project / "teacher.json", planned, _work)
    return train_teacher(
        data, ShortEpochs(data.search, work.batches), work.epochs,
        project=context.project, progress=context.progress, seed=seed,
    )  # fmt: skip


def _augmentation(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in TrainingRecipe().augmentation if name in fields}


def _evolved(
    context: _Context, space: SearchSpace, teacher: tf_keras.Model | None
) -> tuple[TrainedSupernet, int, int, tuple[str, ...], RunRecord]:
    """Returns the best pair's supernet, population and generations for it, and what is left out.

    And of the page what it shows of all that.
    """
    run, data = context.run, context.data
    recipe = context.recipe
    if teacher is not None or recipe.sandwich_random is None:
        recipe = _recipe_with(recipe, teacher)
    plan = _planned(context, space, recipe, teacher)
    tell(
        f"Planned for {context.minutes:g} minutes: {plan.starts * plan.steps} trainings of "
        f"supernets, {plan.visit.epochs} x {plan.visit.batches} batches each, "
        f"{plan.population * (plan.generations + 1)} subnets scored."
    )
    train = ShortEpochs(data.search, plan.visit.batches)
    evolved = evolve_space(
        train, data.validation, context.budget,
        SpaceSearch(
            plan.space, plan.starts, plan.steps, plan.visit.epochs, _SCORE, recipe,
            further_epochs=plan.further,
        ),
        project=context.project, progress=context.progress, seed=run.seed, teacher=teacher,
    )  # fmt: skip
    told = {"training": dataclasses.asdict(recipe), "seed": run.seed, "epoch": plan.visit.batches}
    assert run.data is not None
    found = TrainedSupernet(
        evolved.supernet,
        evolved.space,
        run.data,
        data.labels,
        data.held_out,
        evolved.epochs,
        told,
        teacher=teacher,
    )
    left_out = _left_out(plan, teacher)
    record = RunRecord(path=evolved.path, curves=(*teacher_curve(context.project), evolved.curve))
    return found, plan.population, plan.generations, left_out, record


def _scores(context: _Context, supernet: TrainedSupernet) -> tuple[int, int]:
    """Returns population and generations for the subnets of a trained supernet."""

    def planned() -> tuple[int, int]:
        speed = score_speed(
            supernet.supernet, supernet.space, context.data.validation, context.run.batch_size
        )
        check_specialisation(speed, context.minutes, **context.sizes(context.data.train))
        return plan_scores(speed, context.minutes)

    population, generations = _kept(context.project / "plan.json", planned, _whole_numbers)
    tell(
        f"Planned for {context.minutes:g} minutes: {population * (generations + 1)} subnets scored."
    )
    return population, generations


def _trained(context: _Context, chosen: _Chosen) -> tuple[Subnet, tuple[str, ...]]:
    """Trains the chosen network on, in place; returns it quantized, and what was left out."""
    data, subnet, teacher = context.data, chosen.network, chosen.teacher
    recipe = _recipe_with(context.recipe, teacher)
    recipe = dataclasses.replace(recipe, precision="float32")  # that of a network of its own

    def planned() -> TrainingPlan:
        network = build_subnet(subnet.architecture)
        speed = network_speed(network, data.train, recipe, teacher)
        left = 60 * context.minutes - context.clock.seconds()
        # Calibration costs what has been trained for hours nothing in 8 bits.
        rounded = context.run.supernet is None or context.run.weight_bits < 8
        return plan_training(speed, left, rounded=rounded, **context.sizes(data.train))

    plan = _kept(context.project / "training.json", planned, _training_plan)
    rounded = (
        f"then {plan.quantized.epochs} x {plan.quantized.batches} with rounding"
        if plan.quantized.epochs
        else "then calibrated"
    )
    tell(f"The chosen network sees {plan.train.epochs} x {plan.train.batches} batches, {rounded}.")
    training = FinalTraining(
        ShortEpochs(data.train, plan.train.batches), plan.train.epochs, recipe,
        ShortEpochs(data.quantized, plan.quantized.batches), plan.quantized.epochs,
        _FINE_QUANTIZED_LEARNING_RATE if context.run.supernet else _QUANTIZED_LEARNING_RATE,
    )  # fmt: skip
    quantized = train_quantized(
        subnet, context.budget, training, project=context.project, progress=context.progress,
        teacher=teacher,
    )  # fmt: skip
    return quantized, plan.left_out


def _kept(path: Path, make: Callable[[], Any], read: Callable[[Any], Any]) -> Any:
    """Returns what was planned before an interruption, or plans it: time is never the same."""
    if not path.exists():
        made = make()
        told = made if isinstance(made, tuple) else dataclasses.asdict(made)
        write_whole(path, json.dumps(told))
    return read_kept(path, read)


def _whole_numbers(told: list[Any]) -> tuple[int, int]:
    population, generations = (checked_whole("plan", number, least=0) for number in told)
    return population, generations


def _work(fields: dict[str, Any]) -> Work:
    return checked_kinds(Work(**fields))


def _search_plan(fields: dict[str, Any]) -> SearchPlan:
    return SearchPlan(
        **{
            **fields,
            "space": SearchSpace.from_dict(fields["space"]),
            "visit": _work(fields["visit"]),
            "left_out": tuple(fields["left_out"]),
        }
    )


def _training_plan(fields: dict[str, Any]) -> TrainingPlan:
    return TrainingPlan(
        _work(fields["train"]), _work(fields["quantized"]), tuple(fields["left_out"])
    )


def _origin(
    run: SearchRun, data: TaskData, space: SearchSpace, supernet: TrainedSupernet | None
) -> Origin:
    # Neither labels nor test images: what is kept does not depend on them.
    return {
        "run": run.to_dict(),
        "space": space.to_dict(),
        "search": data_origin(data.search),
        "train": data_origin(data.train),
        "validation": validation_origin(data.validation),
        "budget": run.budget().limits,
        "supernet": None if supernet is None else weights_origin(supernet.supernet),
    }
