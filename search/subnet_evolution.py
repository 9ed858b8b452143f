"""Evolution of subnets under a memory budget as a keras-tuner oracle (paper, B.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.hyperparameters import declare_subnets, values_from_architecture
from mcuformer_tflm.search.space import SearchSpace

OBJECTIVE = "accuracy"
# Draws before a generation is given up as exhausted: small spaces run out of new subnets.
_MAX_DRAWS = 2000


class SubnetEvolution(keras_tuner.Oracle):
    """Random subnets that fit, then generations of crossover and mutation of the best.

    Never proposes a subnet twice, nor one that does not fit. A pure state machine, as
    ``SpaceEvolution``.

    Args:
        space: The space of one supernet (one patch size, one rank ratio).
        fits: Whether a network fits the budget.
        budget: The budget in words, for errors.
        population: Random subnets at the start, and new ones a generation.
        parents: Best subnets that breed.
        generations: Generations after the first.
        seed: Of all draws.

    Raises:
        BudgetError: If no subnet of the space fits.
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        fits: Callable[[Architecture], bool],
        budget: str,
        population: int = 50,
        parents: int = 10,
        generations: int = 20,
        seed: int = 0,
    ) -> None:
        """Draws the first generation."""
        if population < 2 or parents < 1 or generations < 0:
            raise ConfigError(
                f"population is {population}, parents {parents}, generations {generations}; they "
                "must be at least 2, 1 and 0."
            )
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            hyperparameters=declare_subnets(space),
            seed=seed + 1,
        )
        self.space, self.fits = space, fits
        self.population, self.parents, self.generations = population, parents, generations
        self._rng = np.random.default_rng(seed)
        self._generation = 0
        self._proposed: set[str] = set()
        self._running: dict[str, str] = {}
        self._scores: dict[str, float] = {}
        self._pending = self._draw(population, lambda: space.sample(self._rng))
        smallest = space.smallest()
        if not self._pending and fits(smallest):
            self._pending = [smallest.to_json()]
            self._proposed.add(self._pending[0])
        if not self._pending:
            raise BudgetError(
                f"No subnet of this space fits {budget}: not even the smallest (embed_dim "
                f"{smallest.embed_dim}, depth {smallest.depth}, patch_size "
                f"{smallest.patch_size}, rank_ratio {smallest.rank_ratio}). Choose a larger "
                "board, a larger patch_size, or a space with smaller embed_dim and depth."
            )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the next subnet, breeding a generation when the last one is scored."""
        if not self._pending:
            if self._running:
                return {"status": TrialStatus.IDLE, "values": None}
            self._breed()
        if not self._pending:
            return {"status": TrialStatus.STOPPED, "values": None}
        text = self._pending.pop(0)
        self._running[trial_id] = text
        values = values_from_architecture(Architecture.from_json(text))
        return {"status": TrialStatus.RUNNING, "values": values}

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes a finished trial's accuracy in."""
        super().end_trial(trial)
        if trial.trial_id in self._retry_queue:
            return
        text = self._running.pop(trial.trial_id, None)
        if text is not None and trial.status == TrialStatus.COMPLETED:
            self._scores[text] = self.get_trial(trial.trial_id).score
        self.save()

    def best_architecture(self) -> Architecture:
        """Returns the most accurate subnet so far.

        Raises:
            ConfigError: If none has been scored.
        """
        if not self._scores:
            raise ConfigError("No subnet has been scored yet; run the search first.")
        return Architecture.from_json(self._ranking()[0])

    def get_state(self) -> dict[str, Any]:
        """Returns everything that the next answer depends on, ready for JSON."""
        return {
            **super().get_state(),
            "rng": self._rng.bit_generator.state,
            "generation": self._generation,
            "proposed": sorted(self._proposed),
            "running": self._running,
            "scores": self._scores,
            "pending": self._pending,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from ``get_state``."""
        super().set_state(state)
        self._rng.bit_generator.state = state["rng"]
        self._generation = state["generation"]
        self._proposed = set(state["proposed"])
        self._running = dict(state["running"])
        self._scores = dict(state["scores"])
        self._pending = list(state["pending"])

    def _ranking(self) -> list[str]:
        return sorted(self._scores, key=lambda text: (-self._scores[text], text))

    def _breed(self) -> None:
        if self._generation >= self.generations or not self._scores:
            return
        self._generation += 1
        best = [Architecture.from_json(text) for text in self._ranking()[: self.parents]]

        def parent() -> Architecture:
            return best[int(self._rng.integers(len(best)))]

        half = self.population // 2
        self._pending = self._draw(
            half, lambda: self.space.crossover(parent(), parent(), self._rng)
        )
        self._pending += self._draw(
            self.population - half, lambda: self.space.mutate(parent(), self._rng)
        )

    def _draw(self, count: int, make: Callable[[], Architecture]) -> list[str]:
        drawn: list[str] = []
        for _ in range(_MAX_DRAWS):
            if len(drawn) == count:
                break
            architecture = make()
            text = architecture.to_json()
            if text not in self._proposed and self.fits(architecture):
                self._proposed.add(text)
                drawn.append(text)
        return drawn
