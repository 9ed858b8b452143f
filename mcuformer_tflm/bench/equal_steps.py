"""Trainings, scores and outcomes of the proof, each done once: see ``proof``."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mcuformer_tflm.bench.any_pair import AnyPair, Weights
from mcuformer_tflm.bench.kept_work import KeptWork, OutOfTimeError, digest, read_lists
from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.architecture import Architecture, Stem
from mcuformer_tflm.keras_models.training.batches import Batches, batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import OneNetwork, Subnets
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.fitting_subnets import FittingSubnets, without_what_never_fits
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.oracles.subnet_oracle import SubnetOracle
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE, SearchSpace
from mcuformer_tflm.search.tuners.scoring import fitting_share

# Raised whenever what a unit computes changes in a way that its key does not tell.
_VERSION = 1
_SAVE_SECONDS = 30.0
_HELD_OUT = 5_000

Trained = Literal["fitting", "all"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for all strategies.

    Attributes:
        space: What is searched.
        epoch_steps: Training steps of an epoch.
        batch_size: Images a step.
        epochs: Of a whole search, until the supernet of its subnet is done: the same for all.
        final_epochs: That the found subnet is trained on, from its supernet's weights.
        trained: Which subnets a supernet's steps draw: those that fit the budget, or any.
        structured: Whether attention starts with structure (``initialise_attention``).
        recipe: How supernets and subnets are trained. A moving average starts at zero, so that it
            wants trainings that are much longer than its memory.
        eta: Weight of R in S.
        accuracy_samples: Subnets behind A.
        fit_samples: Subnets behind R.
        score_images: Held-out images that score pairs and subnets.
        population: Of the subnet evolution.
        generations: Of it; random search draws as many subnets.
        parents: Of it.
        test_images: Looked at once, when a search is over.
    """

    space: SearchSpace = FASHION_MNIST_WIDE_SPACE
    epoch_steps: int = 50
    batch_size: int = 64
    epochs: int = 40
    final_epochs: int = 12
    trained: Trained = "fitting"
    structured: bool = True
    recipe: TrainingRecipe = TrainingRecipe()  # noqa: RUF009 (frozen)
    eta: float = 0.1
    accuracy_samples: int = 8
    fit_samples: int = 200
    score_images: int = 1_000
    population: int = 20
    generations: int = 5
    parents: int = 6
    test_images: int = 10_000

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields by name, ready for JSON."""
        return {**dataclasses.asdict(self), "space": self.space.to_dict()}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A patch size, rank ratio and stem; without a rank all of them, where pairs are composed."""

    patch_size: int
    rank_ratio: float | None
    stem: Stem

    @classmethod
    def of(cls, space: SearchSpace) -> Pair:
        """Returns the pair of a space that has but one."""
        return cls(space.patch_size[0], space.rank_ratio[0], space.stem[0])

    def within(self, space: SearchSpace) -> SearchSpace:
        """Returns the part of a space that is the pair."""
        if self.rank_ratio is None:
            return dataclasses.replace(space, patch_size=(self.patch_size,), stem=(self.stem,))
        return space.at(self.patch_size, self.rank_ratio, stem=self.stem)

    def __str__(self) -> str:
        rank = "" if self.rank_ratio is None else f"-rank{self.rank_ratio}"
        return f"patch{self.patch_size}{rank}-{self.stem}"


@dataclasses.dataclass(frozen=True)
class Training:
    """Epochs of one pair's supernet, with a warm-up and a cosine of their own.

    Attributes:
        pair: Whose.
        epochs: How many.
        behind: Epochs behind its first weights, inherited ones included.
        before: What it goes on from: the training of the same pair, or of the composed supernet.
        source: What it inherits from instead: another pair's training.
        only: The one subnet that is trained, as JSON; by default those that ``Settings`` say.
    """

    pair: Pair
    epochs: int
    behind: int = 0
    before: Training | None = None
    source: Training | None = None
    only: str | None = None


class Study:
    """The work of one budget and one seed.

    Args:
        settings: What is the same for all.
        budget: Bytes of arena and flash.
        seed: Of weights, order of images and all draws.
        data: Fashion-MNIST. The last 5,000 training images are held out.
        kept: Where everything is kept.
        pairs: Of ``supernets``, shared by all seeds of a budget.
        report: Called with (what is being done, done, total).
    """

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        seed: int,
        data: ImageData,
        kept: KeptWork,
        pairs: AnyPair,
        report: Report,
    ) -> None:
        """Trains nothing yet."""
        self.settings, self.budget, self.seed = settings, budget, seed
        self.fit, self.space, self.kept, self.report = Fit(budget), pairs.space, kept, report
        self._pairs, self._data = pairs, data
        self._validation = _part(data, -_HELD_OUT, settings.score_images)
        self._there: Training | None = None
        self._subject = {
            "version": _VERSION,
            "settings": settings.to_dict(),
            "arena": budget.arena,
            "flash": budget.flash,
            "seed": seed,
        }

    def key(self, **parts: Any) -> dict[str, Any]:
        """Returns the key of a unit of this study."""
        return {**self._subject, **parts}

    def train(self, training: Training) -> Path:
        """Returns the file of a training's weights; trains whatever of it is missing."""
        for earlier in (training.before, training.source):
            if earlier is not None:
                self.train(earlier)
        return self.kept.arrays(
            f"trainings/{self._folder}", str(training.pair), self._training_key(training),
            lambda partial: self._trained(training, partial),
        )  # fmt: skip

    def network_score(self, training: Training, network: Architecture) -> float:
        """Returns the accuracy of a network that was trained alone, on all images held out."""

        def measure() -> float:
            self._put(training)
            return self._pairs.accuracy(network, *_part(self._data, -_HELD_OUT, _HELD_OUT))

        key = self._training_key(training)
        return float(self.kept.value(f"networks/{self._folder}", str(training.pair), key, measure))

    def score(self, training: Training) -> float:
        """Returns S of a pair after a training (Eq. 2)."""

        def measure() -> list[float]:
            self._put(training)
            subnets = self._subnets(training)
            rng = np.random.default_rng([self.seed, training.behind + training.epochs])
            accuracies = []
            for _ in range(self.settings.accuracy_samples):
                self.kept.check_time()
                accuracies.append(self._pairs.accuracy(subnets.sample(rng), *self._validation))
            whole = training.pair.within(self.settings.space)
            share, _ = fitting_share(whole, self.fit, self.settings.fit_samples, [self.seed])
            return [float(np.mean(accuracies)), share]

        accuracy, share = self.kept.value(
            f"scores/{self._folder}", str(training.pair), self._training_key(training), measure
        )
        return float(accuracy + self.settings.eta * share)

    def accuracy_of_fitting(self, training: Training, samples: int) -> float:
        """Returns the mean accuracy of subnets that fit, whichever were trained."""

        def measure() -> float:
            self._put(training)
            subnets = FittingSubnets(training.pair.within(self.space), self.fit)
            rng = np.random.default_rng(self.seed)
            drawn = [subnets.sample(rng) for _ in range(samples)]
            return float(np.mean([self._pairs.accuracy(a, *self._validation) for a in drawn]))

        key = {**self._training_key(training), "samples": samples}
        return float(self.kept.value(f"fitting/{self._folder}", str(training.pair), key, measure))

    def find(self, training: Training, space: SearchSpace, *, evolve: bool) -> Architecture:
        """Returns the best subnet that fits, by held-out images and the supernet's weights.

        Args:
            training: The supernet's last.
            space: Of the subnets: of a pair, or the whole of a composed supernet.
            evolve: Whether subnets evolve; else as many are drawn at random.
        """
        settings, population = self.settings, self.settings.population

        def search() -> dict[str, Any]:
            oracle: SubnetOracle
            if evolve:
                oracle = SubnetEvolution(
                    space, self.budget, population=population, parents=settings.parents,
                    generations=settings.generations, seed=self.seed,
                )  # fmt: skip
            else:
                count = population * (1 + settings.generations)
                oracle = RandomSubnets(space, self.budget, subnets=count, seed=self.seed)
            self._put(training)
            scored = 0

            def score(values: dict[str, Any]) -> float:
                nonlocal scored
                self.kept.check_time()
                architecture = architecture_from_values(values, space)
                scored += 1
                self.report(f"{self}: subnets", scored, oracle.total)
                return self._pairs.accuracy(architecture, *self._validation)

            replay(oracle, score)
            best = oracle.best_architecture()
            return {"architecture": best.to_json(), "validation": oracle.scores[best]}

        key = {**self._training_key(training), "evolve": evolve, "space": space.to_dict()}
        found = self.kept.value(f"subnets/{self._folder}", str(training.pair), key, search)
        return Architecture.from_json(found["architecture"])

    def outcome(self, training: Training, architecture: Architecture) -> dict[str, Any]:
        """Trains the found subnet on, and looks at the test images once.

        Returns:
            ``top1``, ``top1_inherited`` (with the supernet's weights), ``arena_bytes``,
            ``flash_bytes`` and ``architecture``.
        """
        pair = Pair(architecture.patch_size, architecture.rank_ratio, architecture.stem)
        last = Training(
            pair, self.settings.final_epochs, training.behind + training.epochs, before=training,
            only=architecture.to_json(),
        )  # fmt: skip
        self.train(last)

        def measure() -> dict[str, Any]:
            test = _test_part(self._data, self.settings.test_images)
            figures: dict[str, Any] = {}
            for name, state in (("top1_inherited", training), ("top1", last)):
                self.kept.check_time()
                self._put(state)
                figures[name] = self._pairs.accuracy(architecture, *test)
            return {
                **figures,
                "arena_bytes": self.fit.memory_bytes(architecture),
                "flash_bytes": self.fit.flash_bytes(architecture),
                "architecture": architecture.to_json(),
            }

        found: dict[str, Any] = self.kept.value(
            f"outcomes/{self._folder}", str(pair), self._training_key(last), measure
        )
        return found

    def __str__(self) -> str:
        return f"{self.budget.name}, seed {self.seed}"

    @property
    def _folder(self) -> str:
        return f"{self.budget.arena // 1024}kib/seed{self.seed}"

    def _training_key(self, training: Training | None) -> dict[str, Any]:
        if training is None:
            return {}
        fields = dataclasses.asdict(dataclasses.replace(training, before=None, source=None))
        for name in ("before", "source"):
            earlier = getattr(training, name)
            fields[name] = None if earlier is None else digest(self._training_key(earlier))
        return self.key(training=fields)

    def _put(self, training: Training) -> None:
        """Puts a training's weights into the supernets that they are of."""
        if training == self._there:
            return
        weights = read_lists(self.train(training))
        for patch_size in self.space.patch_size:
            for stem in self.space.stems_of(patch_size):
                own = f"{patch_size}-{stem}-"
                if any(name.startswith(own) for name in weights):
                    self._pairs.put(patch_size, stem, weights)
        self._there = training

    def _trained(self, training: Training, partial: Path) -> Weights:
        self._there = None
        pair, settings = training.pair, self.settings
        place = pair.patch_size, pair.stem
        steps = training.epochs * settings.epoch_steps
        trainer = self._pairs.begin(*place, seed=self.seed, steps=steps)
        weights: dict[str, list[np.ndarray]] = {}
        if training.before is not None:
            weights = read_lists(self.train(training.before))
            self._pairs.put(*place, weights)
        elif training.source is not None:
            source = training.source.pair.within(self.space)
            self._pairs.inherit(*place, read_lists(self.train(training.source)), source)
        trainer.epoch = training.behind
        if partial.exists():
            trainer.restore(partial)
        subnets = self._subnets(training)
        told = f"{pair}{', one subnet' if training.only else ''}, {steps} steps"
        saved = time.monotonic()
        while (done := trainer.epoch - training.behind) < training.epochs:
            self.report(f"{self}: train", 100 * done // training.epochs, 100, told)
            trainer.train(self._epoch(trainer.epoch), subnets)
            late = time.monotonic() > self.kept.deadline
            if late or time.monotonic() - saved > _SAVE_SECONDS:
                trainer.save(partial)
                saved = time.monotonic()
            if late:
                raise OutOfTimeError
        self.report(f"{self}: train", 100, 100, told)
        averaged = settings.recipe.ema_decay is not None
        with trainer.averaged_weights() if averaged else contextlib.nullcontext():
            return {**weights, **self._pairs.weights(*place)}

    def _subnets(self, training: Training) -> Subnets:
        if training.only is not None:
            return OneNetwork(Architecture.from_json(training.only))
        return trained_subnets(self.settings, self.fit, training.pair.within(self.space))

    def _epoch(self, epoch: int) -> Batches:
        # Of 55,000 images others in each epoch, which is shorter than a pass over them.
        count = self.settings.epoch_steps * self.settings.batch_size
        shown = np.random.default_rng([self.seed, epoch]).choice(
            len(self._data.train_images) - _HELD_OUT, count, replace=False
        )
        images = normalise(self._data.train_images[shown])
        return batches(
            images, self._data.train_classes[shown], self.settings.batch_size, seed=self.seed
        )


def trained_subnets(settings: Settings, fit: Fit, space: SearchSpace) -> Subnets:
    """Returns where the networks of each step come from."""
    return space if settings.trained == "all" else FittingSubnets(space, fit)


def shared_pairs(settings: Settings, budget: Budget) -> AnyPair:
    """Returns the supernets of a budget, without values that no subnet has which is trained."""
    space = settings.space
    if settings.trained == "fitting":
        space = without_what_never_fits(space, Fit(budget))
    return AnyPair(space, settings.recipe, structured=settings.structured)


def _part(data: ImageData, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    shown = slice(start, start + count if start + count < 0 else None)
    return normalise(data.train_images[shown]), data.train_classes[shown]


def _test_part(data: ImageData, count: int) -> tuple[np.ndarray, np.ndarray]:
    return normalise(data.test_images[:count]), data.test_classes[:count]
