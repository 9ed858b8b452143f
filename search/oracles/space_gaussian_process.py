"""A Gaussian process over the scores of pairs as a keras-tuner oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.checked_values import checked_whole
from mcuformer_tflm.search.oracles.evolution_step import Inherit, Point, at_equal_epochs
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.space import SearchSpace

# Scores resemble each other within this share of a factor's range, but for noise of this share of
# their variance.
_RESEMBLANCE = 0.5
_NOISE = 0.05


class SpaceGaussianProcess(SpaceOracle):
    """Trains the pair next that promises the greatest improvement over the best.

    Bayesian optimisation with expected improvement (Jones, Schonlau and Welch, Efficient Global
    Optimization, 1998). The first pairs lie far apart; each further one is, of those that have not
    been visited, that of the greatest expected improvement under a Gaussian process fitted to the
    scores. A pair is visited once. The best one has the highest mean of the process, in which the
    noise of a single score is evened out by those of its neighbours.

    A pure state machine, as ``SpaceEvolution``.

    Args:
        space: What to search.
        pairs: That are visited; fewer where the space has fewer.
        initial: Of these, how many before the process is fitted.
        epochs: Epochs of a trial: 30, unless ``SupernetTuner.search(epochs=)`` says otherwise.
        inherit: From whom a pair's supernet starts: ``"none"``, from nothing, or ``"nearest"``.
            Unequal epochs are then made up for as in ``SpaceEvolution``.
        seed: Of the first pair.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        pairs: int = 16,
        *,
        initial: int = 6,
        epochs: int | None = None,
        inherit: Inherit = "none",
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks the numbers."""
        self.pairs, self.initial = checked_whole("pairs", pairs), checked_whole("initial", initial)
        super().__init__(
            space, epochs, trials=self.pairs, inherit=inherit, seed=seed,
            worker_timeout=worker_timeout,
        )  # fmt: skip

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the most promising pair that nobody has visited or is training."""
        scores = at_equal_epochs(self._history)
        busy = self._busy()
        seen = {*scores, *busy, *self._given_up()}
        free = [point for point in self._order if point not in seen]
        if not free or len(scores) + len(busy) >= self.pairs:
            return self._none()
        waiting = [point for point in self._spread_out(self.initial) if point not in seen]
        point = waiting[0] if waiting or not scores else self._most_promising(free, scores)
        return self._begin(trial_id, 0, point, inherits=True)

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("pairs", "initial", "epochs", "inherit")
        return {
            "space": self.space.to_dict(),
            **{field: getattr(self, field) for field in fields},
            "seed": self.seed - 1,
        }

    _remedy = "Raise pairs"

    def _ranking(self) -> list[Point]:
        scores = at_equal_epochs(self._history)
        visited = list(scores)
        if not visited:
            return []
        means, _ = self._process(visited, scores)
        return [visited[index] for index in np.argsort(-means, kind="stable")]

    def _most_promising(self, free: list[Point], scores: dict[Point, float]) -> Point:
        means, deviations = self._process(free, scores)
        at_visited, _ = self._process(list(scores), scores)
        gains = expected_improvement(means, deviations, float(at_visited.max()))
        return free[int(np.argmax(gains))]

    def _process(
        self, points: list[Point], scores: dict[Point, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        return gaussian_process(
            np.asarray(list(scores)) / self._widths, np.asarray(list(scores.values())),
            np.asarray(points) / self._widths,
        )  # fmt: skip


def gaussian_process(
    known: np.ndarray, scores: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the deviation of the score at points.

    A squared exponential covariance, with the scores' own mean and variance and some noise.

    Args:
        known: float[n, factors] places of the scores.
        scores: float[n].
        points: float[m, factors].
    """

    def resemblance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        squared = np.square(one[:, None] - other).sum(-1)
        return np.exp(-squared / (2 * _RESEMBLANCE**2))

    mean, spread = scores.mean(), scores.std() or 1.0
    between = resemblance(points, known)
    solved = np.linalg.solve(
        resemblance(known, known) + _NOISE * np.eye(len(known)),
        np.concatenate([(scores - mean)[:, None] / spread, between.T], 1),
    )
    variance = 1 - np.einsum("ij,ji->i", between, solved[:, 1:])
    deviation = np.sqrt(np.maximum(variance, 0))
    return mean + spread * (between @ solved[:, 0]), spread * deviation


def expected_improvement(means: np.ndarray, deviations: np.ndarray, best: float) -> np.ndarray:
    """Returns by how much a normal variable is expected to exceed ``best``, where it does."""
    deviations = np.maximum(deviations, 1e-12)
    z = (means - best) / deviations
    density = np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)
    below = np.asarray([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])
    return (means - best) * below + deviations * density
