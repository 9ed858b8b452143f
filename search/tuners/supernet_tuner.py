"""The tuner that trains and scores supernets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf
import tf_keras
from keras_tuner.engine.trial import Trial

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_type,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.keras_models.training.batches import Batches, as_batches
from mcuformer_tflm.keras_models.training.checkpoint import (
    load_weights,
    save_weights,
    step_losses,
)
from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
from mcuformer_tflm.keras_models.training.origin import Origin, data_origin, weights_origin
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import (
    OneNetwork,
    Subnets,
    SupernetTrainer,
    check_distillation,
)
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit, Memory
from mcuformer_tflm.search.cost.fitting_subnets import FittingSubnets
from mcuformer_tflm.search.oracles.hyperparameters import source_from_values, space_from_values
from mcuformer_tflm.search.oracles.space_oracle import OBJECTIVE, SpaceOracle
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.callbacks import TrialCallbacks, checked_callbacks
from mcuformer_tflm.search.tuners.fit_arguments import Validation, fit_data
from mcuformer_tflm.search.tuners.project_origin import keep_project_origin, validation_origin
from mcuformer_tflm.search.tuners.scoring import ScoreSettings, fitting_share, mean_accuracy
from mcuformer_tflm.search.tuners.search_tuner import SearchTuner

__all__ = ["ScoreSettings", "SupernetTuner"]

Start = Literal["random", "structured"]
TrainedSubnets = Literal["all", "fitting", "one"]


class SupernetTuner(SearchTuner):
    """Trains and scores the supernets that an oracle of pairs asks for.

    ``tuner.search(x, y, validation_data=(images, classes))``, as in keras-tuner. Each
    supernet's state is kept in the project's folder ``supernets`` after every epoch, and gone on
    with when its space is visited again or the search was interrupted: what is lost is the
    epoch under way. Each visit has a warm-up and a cosine of its own. A pair whose trial names
    another one to start from begins with what ``inherit_weights`` takes over of its supernet. Pairs
    without a subnet that fits the budget are not visited.

    Args:
        oracle: ``SpaceHalving``, ``SpaceGaussianProcess`` or ``SpaceEvolution``.
        budget: What subnets must fit for R.
        settings: How a space is scored.
        recipe: How supernets are trained.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        start: First weights of attention: ``"random"``, as of all other layers, or
            ``"structured"`` (``initialise_attention``), which suits long training and many heads.
        subnets: Which subnets of a pair are drawn to be trained, and for A: ``"all"``, or
            ``"fitting"``, those that fit the budget; such a supernet serves no larger one. Or
            ``"one"``, of 20 that fit the one that computes most: alone it learns in a few epochs
            what tells pairs apart. Its accuracy is then the score, since it fits, and
            ``train_further`` trains all that fit, from its weights.
        teacher: A network, images to logits, whose probabilities all subnets follow besides the
            labels; the recipe's ``distillation_weight`` is its share. It must not have learnt from
            the validation data.
        seed: Of first weights and sampled subnets.
        strategy: Of ``tf.distribute``: trains each supernet on several devices or machines.
        report: As for ``SearchTuner``.
        **kwargs: ``directory``, ``project_name`` and ``overwrite``, as for keras-tuner.

    Raises:
        BudgetError: If no subnet of the space fits.
        ConfigError: If there is a teacher and the recipe does not distil, or the other way round,
            or the teacher is one of other images or classes; or if the project is another
            search's, or cannot be written.
    """

    title = "spaces scored"

    def __init__(
        self,
        oracle: SpaceOracle,
        budget: Budget,
        *,
        settings: ScoreSettings | None = None,
        recipe: TrainingRecipe | None = None,
        memory: Memory = "arena",
        start: Start = "random",
        subnets: TrainedSubnets = "all",
        teacher: tf_keras.Model | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        report: Report | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes the tuner, resuming the project's state if there is one."""
        self.space = checked_type("oracle", oracle, SpaceOracle).space
        self.fit = Fit(budget, memory)
        self.fit.require(oracle.space)
        oracle.leave_out([pair for pair in oracle.space.pairs() if not self.fit(pair.smallest())])
        settings = ScoreSettings() if settings is None else settings
        self.settings = checked_type("settings", settings, ScoreSettings)
        recipe = TrainingRecipe() if recipe is None else recipe
        self.recipe = checked_type("recipe", recipe, TrainingRecipe)
        checked_choice("start", start, get_args(Start))
        self.start: Start = start
        checked_choice("subnets", subnets, get_args(TrainedSubnets))
        self.subnets: TrainedSubnets = subnets
        check_distillation(self.recipe, teacher, oracle.space.image_shape, oracle.space.num_classes)
        self.teacher = teacher
        self._taught_by = None if teacher is None else weights_origin(teacher)
        self.seed = checked_whole("seed", seed, least=0)
        if strategy is not None:
            checked_type("strategy", strategy, tf.distribute.Strategy)
        self.strategy = strategy
        super().__init__(oracle, report, **kwargs)

    def search(
        self,
        x: Batches | tf.data.Dataset | np.ndarray,
        y: np.ndarray | None = None,
        *,
        validation_data: Validation | None = None,
        validation_split: float = 0.0,
        epochs: int | None = None,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        callbacks: Sequence[Any] | None = None,
        verbose: int | str | None = None,
    ) -> None:
        """Evolves the space; arguments mean what they do in Keras' ``fit``.

        Args:
            x: Images, uint8 or float32[n, height, width, channels] in [-1, 1). Or batches of
                images and classes: from ``batches``, a loader, or a ``tf.data.Dataset`` of one
                epoch, which is only gone on with exactly if its order never changes.
            y: int32[n] classes, where ``x`` is images.
            validation_data: Images and classes as ``x`` and ``y``, held out of training.
            validation_split: Share of ``x`` and ``y`` that is held out instead, from their end.
            epochs: Epochs of one trial, which are the oracle's ``epochs`` by default.
            batch_size: Images a batch, where ``x`` is images; 32 by default.
            steps_per_epoch: Batches an epoch, by default all. A dataset need not end then; each
                epoch takes its next ones.
            callbacks: Callbacks of tf_keras or Keras 3; each trial gets copies. Their ``logs``
                hold ``loss`` and ``val_accuracy``, that of the largest subnet, or of the only one
                that is trained. Those that would stop training or change the learning rate are
                refused (``checked_callbacks``).
            verbose: As for ``SearchTuner.run_trials``.

        Raises:
            ConfigError: If arguments contradict each other or are out of range, a callback
                cannot be heeded, the project's supernets were trained or scored on other data,
                or another process searches there.
            DataError: If the data are not those of the space.
            SearchError: If every trial failed; DivergedError where each did with a loss that is
                no number.
        """
        heeded = checked_callbacks(callbacks)
        train, validation = fit_data(
            self.space, self.recipe, seed=self.seed, x=x, y=y, batch_size=batch_size,
            steps_per_epoch=steps_per_epoch, validation_data=validation_data,
            validation_split=validation_split,
        )  # fmt: skip
        with self.alone():
            self.begin_search(verbose)
            if epochs is not None:
                self.local_oracle.set_epochs(epochs)
            keep_project_origin(
                self.project_dir,
                {"train": data_origin(train), "validation": validation_origin(validation)},
            )
            self.run_trials(
                train=train, validation_data=validation, callbacks=heeded, verbose=verbose
            )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """As ``SearchTuner.alone``; of the machines of one strategy the first keeps others out."""
        resolver = None if self.strategy is None else self.strategy.cluster_resolver
        first = resolver is None or not resolver.task_id or resolver.task_type == "chief"
        with super().alone() if first else contextlib.nullcontext():
            yield

    def measure(
        self,
        trial: Trial,
        report: Report,
        train: Batches | tf.data.Dataset,
        validation_data: Validation,
        *,
        callbacks: Sequence[Any] = (),
    ) -> dict[str, float]:
        """Trains one supernet up to the trial's epochs and returns its score and parts.

        Returns:
            ``score``, ``accuracy`` A, ``share_that_fits`` R, and ``median_margin``.
        """
        values = trial.hyperparameters.values
        space = space_from_values(values, self.space)
        target = values["epochs"]
        begun = target - self.local_oracle.epochs_of(values)
        source = source_from_values(values, self.space)
        with self.trial_summaries(trial).as_default():
            trainer = self._train(
                space, self._checkpoint(space), begun, target, train,
                validation_data, callbacks, report, source=source,
                origin=None if source is None else {"source": _told(source)},
                trial_id=trial.trial_id, values=values,
            )  # fmt: skip
            seed = [self.seed, *self.space.place(space), target]
            averaged = self.recipe.ema_decay is not None
            with trainer.averaged_weights() if averaged else contextlib.nullcontext():
                samples = 1 if self.subnets == "one" else self.settings.accuracy_samples
                accuracy = mean_accuracy(
                    trainer, self._drawn(space), samples, validation_data, seed
                )
                if averaged:
                    save_weights(
                        trainer.supernet, _averaged(self._checkpoint(space)), epochs=target
                    )
            share, margin = fitting_share(space, self.fit, self.settings.fit_samples, seed)
            eta = 0.0 if self.subnets == "one" else self.settings.eta
            results = {
                OBJECTIVE: accuracy + eta * share,
                "accuracy": accuracy,
                "share_that_fits": share,
                "median_margin": margin,
            }
            for name, value in results.items():
                tf.summary.scalar(name, value, step=target)
        return results

    def load_supernet(self, space: SearchSpace) -> tuple[Supernet, int]:
        """Returns the supernet of a space and the epochs that it has been trained for."""
        supernet, trained = (
            Supernet(space.largest(), self.recipe.precision),
            self._checkpoint(space),
        )
        for path in (_averaged(trained), trained):
            if path.exists():
                return supernet, load_weights(supernet, path)
        return supernet, 0

    def train_further(
        self,
        space: SearchSpace,
        train: Batches | tf.data.Dataset,
        validation_data: Validation,
        epochs: int,
        report: Report,
    ) -> Supernet:
        """Trains the chosen space's supernet on, towards convergence; resumes as ``search``.

        Args:
            space: Of one supernet; ``best_space`` of the oracle.
            train: Batches, as ``x`` of ``search``.
            validation_data: As for ``search``.
            epochs: Epochs after those of the search.
            report: Called with (what is being done, done, total, what came out).

        Raises:
            CheckpointError: If it was begun on other data or for other epochs.
        """
        searched = self._checkpoint(space)
        path = _chosen(searched)
        supernet = Supernet(space.largest(), self.recipe.precision)
        start = load_weights(supernet, searched)
        if not path.exists():
            save_weights(supernet, path, epochs=start)
        trainer = self._train(
            space, path, start, start + epochs, train, validation_data, (), report,
            subnets=self._drawn(space) if self.subnets == "all" else self._fitting(space),
            origin={"train": data_origin(as_batches(train)), "epochs": epochs},
        )  # fmt: skip
        if self.recipe.ema_decay is not None:
            with trainer.averaged_weights():
                save_weights(trainer.supernet, _averaged(path), epochs=start + epochs)
            load_weights(trainer.supernet, _averaged(path))
        return trainer.supernet

    def one_network(self, space: SearchSpace) -> Architecture:
        """Returns the network that ``subnets="one"`` trains of a pair.

        Args:
            space: Of one supernet.

        Raises:
            BudgetError: If no subnet of it fits.
        """
        rng = np.random.default_rng([self.seed, *self.space.place(space)])
        return self._fitting(space).largest_drawn(rng)

    def step_losses(self, space: SearchSpace) -> list[float]:
        """Returns the loss of each step of a supernet's last visit, and of ``train_further``.

        Args:
            space: Of one supernet.
        """
        searched = self._checkpoint(space)
        paths = (searched, _chosen(searched))
        return [loss for path in paths if path.exists() for loss in step_losses(path)]

    def load_model(self, trial: Trial) -> Supernet:
        """Returns the supernet of a trial; ``get_best_models`` calls this."""
        space = space_from_values(trial.hyperparameters.values, self.space)
        return self.load_supernet(space)[0]

    def news(self) -> tuple[int, str]:
        """Returns how many trials there will be, and the best space so far."""
        oracle = self.local_oracle
        info = str(self.fit.budget)
        best = oracle.get_best_trials(1)
        if best:
            space = space_from_values(best[0].hyperparameters.values, self.space)
            metrics = best[0].metrics
            info = (
                f"best: {_told(space)}, accuracy "
                f"{metrics.get_best_value('accuracy'):.3f}, "
                f"{metrics.get_best_value('share_that_fits'):.0%} fit {self.fit.budget.name}"
            )
        return oracle.total, info

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "recipe": dataclasses.asdict(self.recipe),
            **self.fit.budget.limits,
            "memory": self.fit.memory,
            "start": self.start,
            "subnets": self.subnets,
            "teacher": self._taught_by,
            "seed": self.seed,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Checks that a project is of this search; older ones had fewer arguments."""
        before: dict[str, Any] = {"start": "random", "subnets": "all", "teacher": None}
        told = before | state.get("configuration", {})
        super().set_state({**state, "configuration": told})

    def _train(
        self,
        space: SearchSpace,
        path: Path,
        start: int,
        target: int,
        train: Batches | tf.data.Dataset,
        validation_data: Validation,
        callbacks: Sequence[Any],
        report: Report,
        *,
        subnets: Subnets | None = None,
        source: SearchSpace | None = None,
        origin: Origin | None = None,
        trial_id: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> SupernetTrainer:
        """Trains from ``start`` epochs to ``target``, or on from wherever between it was.

        A supernet that has no checkpoint begins with what ``source``, where there is one, has
        learnt in ``start`` epochs.
        """
        supernet, subnets = self._fresh(space), subnets or self._drawn(space)
        shown = subnets.architecture if isinstance(subnets, OneNetwork) else supernet.largest
        trainer = SupernetTrainer(
            supernet, self.recipe, steps=(target - start) * len(as_batches(train)),
            seed=_mixed([self.seed, *self.space.place(space), start]), teacher=self.teacher,
            strategy=self.strategy,
        )  # fmt: skip
        there = 0
        if path.exists():
            there = load_weights(supernet, path)
        elif source is not None:
            self._inherit(supernet, source)
            there = start
        if not start <= there <= target:
            raise CheckpointError(
                f"{path} is behind or ahead of the search: it holds {there} epochs, where "
                f"{start} to {target} are expected. Put the right file back, or start anew with "
                "overwrite=True."
            )
        if there > start:
            trainer.restore(path, origin)
        trainer.epoch = there
        hooks = TrialCallbacks(
            callbacks, supernet, trainer.optimizer, trial_id=trial_id, values=values or {},
            epochs=target, steps=len(as_batches(train)),
        )  # fmt: skip
        hooks.call("on_train_begin", {})
        logs: dict[str, float] = {}
        info = ""
        for epoch in range(there, target):
            label = f"train {_told(space)}, epoch {epoch + 1}"
            hooks.call("on_epoch_begin", epoch, {})
            progress = _each_batch(hooks, trainer, report, label, info)
            loss = trainer.train(train, subnets, progress=progress)
            trainer.save(path, origin)
            logs = {"loss": loss, "val_accuracy": trainer.accuracy(shown, *validation_data)}
            for name, value in logs.items():
                tf.summary.scalar(name, value, step=epoch + 1)
            info = f"loss {loss:.3f}, accuracy {logs['val_accuracy']:.3f}"
            report(label, len(as_batches(train)), len(as_batches(train)), info)
            hooks.call("on_epoch_end", epoch, dict(logs))
        hooks.call("on_train_end", dict(logs))
        return trainer

    def _drawn(self, space: SearchSpace) -> Subnets:
        if self.subnets == "one":
            return OneNetwork(self.one_network(space))
        return space if self.subnets == "all" else self._fitting(space)

    def _fitting(self, space: SearchSpace) -> FittingSubnets:
        return FittingSubnets(space, self.fit)

    def _fresh(self, space: SearchSpace) -> Supernet:
        """Returns a supernet's first weights, the same whatever was trained before it."""
        seed = _mixed([self.seed, *self.space.place(space)])
        tf_keras.utils.set_random_seed(seed)
        with (self.strategy or tf.distribute.get_strategy()).scope():
            supernet = Supernet(space.largest(), self.recipe.precision)
            if self.start == "structured":
                initialise_attention(supernet, seed)
        return supernet

    def _inherit(self, supernet: Supernet, source: SearchSpace) -> None:
        trained = Supernet(source.largest(), self.recipe.precision)
        load_weights(trained, self._checkpoint(source))
        inherit_weights(supernet, trained)

    def _checkpoint(self, space: SearchSpace) -> Path:
        stem = "" if space.stem == ("patch",) else f"-{space.stem[0]}"
        name = f"patch{space.patch_size[0]}-rank{space.rank_ratio[0]}{stem}.npz"
        return Path(self.project_dir) / "supernets" / name


def _chosen(checkpoint: Path) -> Path:
    return checkpoint.with_name(f"chosen-{checkpoint.name}")


def _told(space: SearchSpace) -> str:
    stem = "" if space.stem == ("patch",) else f", stem {space.stem[0]}"
    return f"patch {space.patch_size[0]}, rank {space.rank_ratio[0]}{stem}"


def _averaged(path: Path) -> Path:
    return path.with_suffix(".averaged.npz")


def _mixed(parts: list[int]) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _each_batch(
    hooks: TrialCallbacks, trainer: SupernetTrainer, report: Report, label: str, info: str
) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        report(label, done, total, info)
        hooks.batch_ended(done - 1, trainer.mean_loss)
        if done < total:
            hooks.call("on_train_batch_begin", done, {})

    hooks.call("on_train_batch_begin", 0, {})
    return progress
