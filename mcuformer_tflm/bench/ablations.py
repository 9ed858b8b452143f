"""The paper's ablations on Fashion-MNIST, small enough for minutes.

For each seed the supernet of every pair of patch size and rank ratio is trained once, and
scored after each level of epochs. Oracles then replay over these scores: what a variant would
have measured is what the cache holds, since a supernet's score depends on its pair, its epochs
and the seed alone. Chosen pairs are trained on, and their subnets searched, for real.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.bench.shared_supernets import SharedSupernets, restart
from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, batches
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.oracles.subnet_oracle import SubnetOracle
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.scoring import fitting_share, mean_accuracy

SPACE = SearchSpace(
    image_size=28, channels=1, num_classes=10, patch_size=(4, 7, 14),
    rank_ratio=(0.4, 0.7, 0.95), embed_dim=(32, 48), depth=(2, 3), num_heads=(2, 3),
    mlp_ratio=(2.0, 3.0), head_dim=(16,),
)  # fmt: skip
NEIGHBOURS = (2, 3, 5, 8)
THRESHOLDS = (0.003, 0.01, 0.03, 0.1)

_ETA = 0.1
_STARTS, _STEPS = 3, 4
_POPULATION, _PARENTS, _GENERATIONS = 12, 5, 3

Pair = tuple[int, float]
Accuracy = Callable[[Architecture, np.ndarray, np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class Work:
    """How much is done.

    Attributes:
        epoch_images: Training images of an epoch, which is t.
        levels: Epochs that every pair is trained and scored for.
        final_epochs: Epochs that a chosen pair is trained on.
        score_images: Held-out images that score subnets.
        test_images: Images behind the reported accuracies.
        batch_size: Images a step.
    """

    epoch_images: int = 3_840
    levels: int = 2
    final_epochs: int = 4
    score_images: int = 500
    test_images: int = 5_000
    batch_size: int = 128

    @property
    def same_time_epochs(self) -> int:
        """Epochs that an evolved search spends: its visits and the final training."""
        return _STARTS * _STEPS + self.final_epochs


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a variant of the search ends with.

    Attributes:
        name: The variant.
        pair: (patch_size, rank_ratio) of the subnet.
        top1: The subnet's accuracy on test images, with its supernet's weights.
        arena_bytes: Its predicted arena on a Cortex-M.
    """

    name: str
    pair: Pair
    top1: float
    arena_bytes: int


def roomy_budget() -> Budget:
    """Returns 64 KiB of arena, and an STM32F427's flash."""
    return Budget.of_board(get_board("stm32f427"), arena=64 * 1024)


def tight_budget() -> Budget:
    """Returns the arena that half of the space's subnets fit, to a KiB."""
    rng = np.random.default_rng(0)
    fit = Fit(roomy_budget())
    sizes = [fit.memory_bytes(SPACE.sample(rng)) for _ in range(500)]
    arena = round(float(np.median(sizes)) / 1024) * 1024
    return dataclasses.replace(fit.budget, arena=arena, name=f"{arena // 1024} KiB")


class Study:
    """All variants of one seed.

    Args:
        data: Fashion-MNIST.
        seed: Of weights, order of images, sampled subnets and walkers.
        work: How much is done.
        supernets: Shared by all seeds.
        report: Called with (what is being done, done, total).
    """

    def __init__(
        self, data: ImageData, seed: int, work: Work, supernets: SharedSupernets, report: Report
    ) -> None:
        """Takes the images; trains nothing yet."""
        held_out = work.score_images
        self._validation = normalise(data.train_images[:held_out]), data.train_classes[:held_out]
        shown = slice(held_out, held_out + work.epoch_images)
        self._images = normalise(data.train_images[shown]), data.train_classes[shown]
        tested = slice(0, work.test_images)
        self._test = normalise(data.test_images[tested]), data.test_classes[tested]
        self.seed, self.work, self.report = seed, work, report
        self.supernets = supernets
        self._accuracies: dict[Pair, list[float]] = {}
        self._weights: dict[Pair, list[np.ndarray]] = {}
        self._finals: dict[Pair, list[np.ndarray]] = {}
        self._subnet_scores: dict[tuple[Any, Architecture], float] = {}

    def train_all(self) -> None:
        """Trains the supernet of every pair, and scores it at every level."""
        for pair in itertools.product(SPACE.patch_size, SPACE.rank_ratio):
            accuracies: list[float] = []

            def score(trainer: SupernetTrainer, pair: Pair = pair, into: list = accuracies) -> None:
                into.append(mean_accuracy(trainer, SPACE.at(*pair), 6, self._validation,
                                          [self.seed, len(into)]))  # fmt: skip

            trainer = self._train(pair, self.work.levels, after_epoch=score)
            self._accuracies[pair] = accuracies
            self._weights[pair] = trainer.supernet.get_weights()

    def evolved(
        self, budget: Budget, name: str = "evolved", **options: Any
    ) -> tuple[Outcome, list[Visit]]:
        """Evolves the space, then its best pair's subnets; also returns the path."""
        fit = Fit(budget)
        options = {"k": 5, "thresholds": (0.01, 0.01), **options}
        # The scores of the pairs are of supernets that each started from nothing.
        oracle = SpaceEvolution(
            SPACE, _STARTS, steps=_STEPS, epochs=1, inherit="none", seed=self.seed, **options
        )

        def score(values: dict[str, Any]) -> float:
            pair = values["patch_size"], values["rank_ratio"]
            # More visits than levels: the last level stands for the further ones.
            level = min(values["epochs"], self.work.levels)
            share, _ = fitting_share(SPACE.at(*pair), fit, 200, [self.seed, level])
            return self._accuracies[pair][level - 1] + _ETA * share

        replay(oracle, score)
        best = oracle.best_space(lambda space: fit(space.smallest()))
        pair = best.patch_size[0], best.rank_ratio[0]
        return self.given_pair(name, pair, budget), oracle.history

    def given_pair(self, name: str, pair: Pair, budget: Budget) -> Outcome:
        """Trains a pair's supernet on and evolves its subnets."""
        return self._best(name, self._subnets(SPACE.at(*pair), budget), self._final(pair), pair)

    def random_pair(self, budget: Budget) -> Pair:
        """Returns a pair at random among those that hold a subnet that fits."""
        fit = Fit(budget)
        pairs = [(patch, rank) for patch in SPACE.patch_size for rank in SPACE.rank_ratio
                 if fit(SPACE.at(patch, rank).smallest())]  # fmt: skip
        return pairs[int(np.random.default_rng([self.seed, 1]).integers(len(pairs)))]

    def random_search(self, name: str, budget: Budget) -> Outcome:
        """Trains one random pair for as long as an evolved search takes; random subnets."""
        pair = self.random_pair(budget)
        trainer = self._train(pair, self.work.same_time_epochs)
        count = _POPULATION * (1 + _GENERATIONS)
        oracle = RandomSubnets(SPACE.at(*pair), budget, subnets=count, seed=self.seed)
        return self._best(name, oracle, trainer.accuracy, ("random search", pair))

    def composed(self, budgets: dict[str, Budget]) -> list[Outcome]:
        """Trains one supernet of the whole space, as long as an evolved search takes."""
        self.supernets.freshen(self.seed)
        epochs = self.work.same_time_epochs
        for epoch in range(epochs):
            self.report(f"seed {self.seed}: train composed", epoch, epochs)
            patch = SPACE.patch_size[epoch % len(SPACE.patch_size)]
            part = dataclasses.replace(SPACE, patch_size=(patch,))
            self._epoch(self.supernets.trainer(patch), part, epoch)
        self.report(f"seed {self.seed}: train composed", epochs, epochs)

        def accuracy(architecture: Architecture, images: np.ndarray, classes: np.ndarray) -> float:
            trainer = self.supernets.trainer(architecture.patch_size)
            return trainer.accuracy(architecture, images, classes)

        return [
            self._best(name, self._subnets(SPACE, budget), accuracy, "composed")
            for name, budget in budgets.items()
        ]

    def _subnets(self, space: SearchSpace, budget: Budget) -> SubnetEvolution:
        return SubnetEvolution(
            space, budget, population=_POPULATION, parents=_PARENTS, generations=_GENERATIONS,
            seed=self.seed,
        )  # fmt: skip

    def _best(self, name: str, oracle: SubnetOracle, accuracy: Accuracy, source: Any) -> Outcome:
        def score(values: dict[str, Any]) -> float:
            key = source, architecture_from_values(values, SPACE)
            if key not in self._subnet_scores:
                self._subnet_scores[key] = accuracy(key[1], *self._validation)
            return self._subnet_scores[key]

        replay(oracle, score)
        best = oracle.best_architecture()
        pair = best.patch_size, best.rank_ratio or 1.0
        return Outcome(name, pair, accuracy(best, *self._test), oracle.fit.memory_bytes(best))

    def _final(self, pair: Pair) -> Accuracy:
        # The trainer goes from pair to pair and seed to seed; weights are put back at use.
        if pair not in self._finals:
            trainer = self._train(pair, self.work.final_epochs, self._weights[pair])
            self._finals[pair] = trainer.supernet.get_weights()
        trainer = self.supernets.trainer(pair[0])
        trainer.supernet.set_weights(self._finals[pair])
        return trainer.accuracy

    def _train(
        self,
        pair: Pair,
        epochs: int,
        weights: list[np.ndarray] | None = None,
        after_epoch: Callable[[SupernetTrainer], None] | None = None,
    ) -> SupernetTrainer:
        """Trains a pair's supernet from fresh weights, or from given ones that are levels on."""
        trainer, space = self.supernets.trainer(pair[0]), SPACE.at(*pair)
        first = self.work.levels if weights else 0
        if weights:
            trainer.supernet.set_weights(weights)
        else:
            self.supernets.freshen(self.seed, SPACE.rank_ratio.index(pair[1]))
        for epoch in range(first, first + epochs):
            self.report(f"seed {self.seed}: train {pair}", epoch - first, epochs)
            self._epoch(trainer, space, epoch)
            if after_epoch is not None:
                after_epoch(trainer)
        self.report(f"seed {self.seed}: train {pair}", epochs, epochs)
        return trainer

    def _epoch(self, trainer: SupernetTrainer, space: SearchSpace, epoch: int) -> None:
        # As a visit of the evolution: the optimizer and its schedule begin anew.
        restart(trainer)
        trainer.seed, trainer.epoch = self.seed, epoch
        trainer.train(batches(*self._images, self.work.batch_size, seed=self.seed), space)
