"""What all oracles that choose subnets under a budget share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit, Memory
from mcuformer_tflm.search.cost.fit_in_bulk import fit_in_bulk
from mcuformer_tflm.search.oracles.front import (
    OBJECTIVE,
    Front,
    ScoredSubnet,
    checked_objectives,
    known_objectives,
)
from mcuformer_tflm.search.oracles.hyperparameters import declare_subnets, values_from_architecture
from mcuformer_tflm.search.oracles.resumable_oracle import ResumableOracle, failure
from mcuformer_tflm.search.progress import tell
from mcuformer_tflm.search.space import SearchSpace

__all__ = ["OBJECTIVE", "SubnetOracle"]

# Draws before a generation is given up as exhausted: small spaces run out of new subnets.
_MAX_DRAWS = 2000
_NOTHING_SCORED = "No subnet has been scored yet; run the search first."


class SubnetOracle(ResumableOracle):
    """Proposes subnets that fit, each once, and remembers their accuracies.

    Subclasses say in ``more`` which subnets come next.

    Args:
        space: The space of one supernet (one patch size, one rank ratio), or a whole one.
        budget: SRAM, flash and time.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        seed: Of all draws.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Attributes:
        total: Trials at most.

    Raises:
        BudgetError: If no subnet of the space fits.
    """

    total: int

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        *,
        memory: Memory = "arena",
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks that something fits."""
        seed = checked_whole("seed", seed, least=0)
        self.space, self.fit = space, Fit(budget, memory)
        self.fit.require(space)
        super().__init__(OBJECTIVE, declare_subnets(space), seed, worker_timeout=worker_timeout)
        self._rng = np.random.default_rng(seed)
        self._proposed: set[str] = set()
        self._pending: list[str] = []
        self._running: dict[str, str] = {}
        self._scores: dict[str, float] = {}
        self._failed: list[str] = []
        self._figures: dict[str, tuple[int, int, float | None]] = {}

    def more(self) -> list[str]:
        """Returns the next subnets, as JSON from ``propose``; none ends the search.

        Called when every subnet so far has been scored.
        """
        raise NotImplementedError

    @property
    def scores(self) -> dict[Architecture, float]:
        """Accuracy of each scored subnet, in the order in which their trials ended."""
        return {Architecture.from_json(text): score for text, score in self._scores.items()}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the next subnet; waits while ``more`` needs scores that are under way."""
        if not self._pending:
            if self._running:
                return {"status": TrialStatus.IDLE, "values": None}
            self._pending = self.more()
        if not self._pending:
            return {"status": TrialStatus.STOPPED, "values": None}
        text = self._pending.pop(0)
        self._running[trial_id] = text
        values = values_from_architecture(Architecture.from_json(text), self.space)
        return {"status": TrialStatus.RUNNING, "values": values}

    def trial_ended(self, trial: Trial) -> None:
        """Takes an accuracy in; a subnet that failed is told and left out."""
        text = self._running.pop(trial.trial_id)
        if trial.status == TrialStatus.COMPLETED:
            self._scores[text] = trial.score
        else:
            self._failed.append(text)
            tell(f"Trial {trial.trial_id} failed; its subnet is left out: {text}. {failure(trial)}")

    def forget_failures(self) -> None:
        """Proposes subnets that failed once more."""
        self._pending = self._failed + self._pending
        self._failed = []

    def best_architecture(self) -> Architecture:
        """Returns the most accurate subnet so far.

        Raises:
            ConfigError: If none has been scored.
        """
        if not self._scores:
            raise ConfigError(_NOTHING_SCORED)
        return Architecture.from_json(self.ranking()[0])

    def ranking(self) -> list[str]:
        """Returns the scored subnets as JSON, the most accurate first, the earlier among equal."""
        return sorted(self._scores, key=lambda text: -self._scores[text])

    def scored(self) -> list[ScoredSubnet]:
        """Returns every subnet that was scored and its figures, in the order of ``scores``."""
        return [
            ScoredSubnet(Architecture.from_json(text), score, *self._costs(text))
            for text, score in self._scores.items()
        ]

    def front(self, objectives: Sequence[str] | None = None) -> Front:
        """Returns the scored subnets that no other one beats in every objective.

        Args:
            objectives: ``"accuracy"`` and of ``"memory_bytes"``, ``"flash_bytes"`` and
                ``"milliseconds"`` what counts; all by default, time where the budget's board
                tells it.

        Raises:
            ConfigError: If objectives are others, or no subnet has been scored.
        """
        if objectives is None:
            objectives = known_objectives(self.fit)
        objectives = checked_objectives(objectives, self.fit)
        if not self._scores:
            raise ConfigError(_NOTHING_SCORED)
        return Front(self.scored(), objectives, fit=self.fit)

    def propose(self, architecture: Architecture) -> str | None:
        """Returns a subnet as JSON if it fits and is new, and counts it as proposed."""
        return next(iter(self._propose([architecture])), None)

    def _propose(self, architectures: Sequence[Architecture]) -> list[str]:
        # One after the other: the second of two alike is not new.
        new: dict[str, Architecture] = {}
        for architecture in architectures:
            text = architecture.to_json()
            if text not in self._proposed:
                new.setdefault(text, architecture)
        fits = fit_in_bulk(self.space, self.fit)(list(new.values()))
        proposed = [text for text, fitting in zip(new, fits, strict=True) if fitting]
        self._proposed.update(proposed)
        return proposed

    def _costs(self, text: str) -> tuple[int, int, float | None]:
        if text not in self._figures:
            network = Architecture.from_json(text)
            self._figures[text] = (
                self.fit.memory_bytes(network),
                self.fit.flash_bytes(network),
                self.fit.milliseconds(network),
            )
        return self._figures[text]

    def draw(self, count: int, make: Callable[[], Architecture]) -> list[str]:
        """Returns new subnets that fit, fewer than ``count`` where there seem to be no more."""
        drawn: list[str] = []
        draws = 0
        # Never more at once than are wanted, so that none is drawn in vain.
        while (batch := min(count - len(drawn), _MAX_DRAWS - draws)) > 0:
            drawn += self._propose([make() for _ in range(batch)])
            draws += batch
        return drawn

    def draw_random(self, count: int) -> list[str]:
        """Draws subnets of the space uniformly among those that fit.

        Where hardly any fits, the rest are drawn and made smaller, factor by factor, until
        they do.
        """
        drawn = self.draw(count, lambda: self.space.sample(self._rng))
        return drawn + self.draw(count - len(drawn), self._shrunken)

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        return {
            "space": self.space.to_dict(),
            **self.fit.budget.limits,
            "memory": self.fit.memory,
            "seed": self.seed - 1,
        }

    def decisions(self) -> dict[str, Any]:
        """Returns what the next answer depends on, ready for JSON."""
        return {
            "rng": self._rng.bit_generator.state,
            "proposed": sorted(self._proposed),
            "pending": self._pending,
            "running": self._running,
            "scores": self._scores,
            "failed": self._failed,
        }

    def set_decisions(self, decisions: dict[str, Any]) -> None:
        """Continues from ``decisions``."""
        self._rng.bit_generator.state = decisions["rng"]
        self._proposed = set(decisions["proposed"])
        self._pending = list(decisions["pending"])
        self._running = dict(decisions["running"])
        self._scores = dict(decisions["scores"])
        self._failed = list(decisions.get("failed", ()))

    def _shrunken(self) -> Architecture:
        architecture = self.space.sample(self._rng)
        while not self.fit(architecture):
            smaller = self.space.smaller(architecture)
            if not smaller:
                break
            architecture = smaller[int(self._rng.integers(len(smaller)))]
        return architecture
