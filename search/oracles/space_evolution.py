"""Evolution of the search space as a keras-tuner oracle (paper, algorithm 2)."""

from __future__ import annotations

import math
from typing import Any, get_args

from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_real,
    checked_type,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.oracles.evolution_step import (
    Inherit,
    Point,
    Update,
    Visit,
    at_equal_epochs,
    evolve,
    fit_plane,
    look_around,
    neighbourhood,
)
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.space import SearchSpace

# Of each factor of the space, ``SearchSpace.space_factors``.
_THRESHOLDS = (0.01, 0.01, 0.01)


class SpaceEvolution(SpaceOracle):
    """Moves pairs of patch size and rank ratio towards a better score S = A + eta R (Eq. 2).

    In a space with both stems a pair is one of three: with the stem, whose two are one step apart.

    Algorithm:
      - ``starts`` walkers begin at random pairs and take turns. A trial trains the supernet of
        a walker's pair for ``epochs`` more epochs (the pair's earlier visits count: its
        checkpoint is resumed) and reports S.
      - Before its next turn a walker fits a plane to S at the ``k`` nearest pairs with the same
        total of epochs (or, where there is no other, ``epochs`` fewer) and moves along its
        slope (Eq. 3 and 4).
      - With ``update="ascend"`` a walker that the plane would leave in place, or send to a pair
        that has a score already, goes instead to the most promising pair without a score
        around the best one, and once all of those have one, to the best pair itself
        (``evolution_step.look_around``). Eq. 3 alone stops where rounding makes its step zero.
      - With ``inherit="nearest"`` a pair that a walker comes to for the first time starts from the
        nearest trained one's supernet, whose epochs count as its own; only the walkers' first
        pairs start from nothing. Since hardly two pairs have equal epochs then, ``"ascend"`` fits
        its planes to first scores less what more epochs gave (``evolution_step.at_equal_epochs``);
        ``"paper"`` compares equal epochs alone.
      - After ``steps`` trials a walker rests. The best pair is the one visited most often,
        ties broken by score.
      - A failed trial takes no step: the pair is tried once more, then given up, and its walker
        looks elsewhere.

    A pure state machine: what it answers follows from the seed and the scores alone, and
    ``get_state`` holds all of it. Trials carry ``patch_size``, ``rank_ratio``, ``stem`` where the
    space has both, ``epochs``, the pair's total to reach, and where it inherits the same factors
    of the pair that it starts from, such as ``from_patch_size``.

    The paper leaves the number of steps open. The default of 5 starts with 6 steps trains for
    half as many times as its space has pairs.

    Args:
        space: What to search.
        starts: Number of walkers, n.
        steps: Trials of each walker.
        epochs: Epochs of one step, t: 30, unless ``SupernetTuner.search(epochs=)`` says otherwise.
        k: Neighbours of the plane.
        thresholds: h1, h2: slope of S, which lies in [0, 1 + eta], per step of patch size and
            rank ratio that moves one step; and a third, of the stem, in a space with both. 0.01
            each by default.
        update: ``"ascend"`` or, literally as printed, ``"paper"``.
        inherit: From whom a pair's supernet starts: ``"nearest"``, or ``"none"``, from nothing.
        seed: Of the starting pairs.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        starts: int = 5,
        *,
        steps: int = 6,
        epochs: int | None = None,
        k: int = 5,
        thresholds: tuple[float, ...] | None = None,
        update: Update = "ascend",
        inherit: Inherit = "nearest",
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Draws the starting pairs."""
        checked_type("space", space, SearchSpace)
        self.starts, self.steps = checked_whole("starts", starts), checked_whole("steps", steps)
        self.k = checked_whole("k", k)
        self.thresholds = _checked_thresholds(thresholds, len(space.space_factors))
        checked_choice("update", update, get_args(Update))
        self.update = update
        super().__init__(
            space, epochs, trials=self.starts * self.steps, inherit=inherit, seed=seed,
            worker_timeout=worker_timeout,
        )  # fmt: skip

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the trial of the free walker that has taken the fewest steps."""
        walking = {walker for walker, _ in self._running.values()}
        busy = self._busy()
        taken = [sum(visit.walker == walker for visit in self._history)
                 for walker in range(self.starts)]  # fmt: skip
        for walker in sorted(range(self.starts), key=lambda walker: taken[walker]):
            if walker in walking or taken[walker] >= self.steps:
                continue
            point = self._next_point(walker, busy)
            if point is None:
                continue
            # Walkers' first pairs start from nothing.
            return self._begin(trial_id, walker, point, inherits=taken[walker] > 0)
        return self._none()

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("starts", "steps", "epochs", "k", "thresholds", "update", "inherit", "seed")
        return {
            "space": self.space.to_dict(),
            **{field: getattr(self, field) for field in fields},
        }

    _remedy = "Raise starts or steps"

    def _slopes(self, last: Visit, scores: dict[Point, float]) -> tuple[float, ...]:
        """Returns the slopes of the plane over the k nearest pairs (Eq. 4)."""
        if self.inherit == "nearest" and self.update == "ascend":
            # Hardly two that inherit have equal epochs.
            near = sorted(scores, key=lambda point: math.dist(last.point, point))[: self.k]
            near_scores = [scores[point] for point in near]
        else:
            chosen = neighbourhood(last.point, last.epochs, self._history, self.epochs, self.k)
            near, near_scores = [v.point for v in chosen], [v.score for v in chosen]
        return fit_plane(near, near_scores, factors=len(self._limits))

    def _next_point(self, walker: int, busy: set[Point]) -> Point | None:
        """Returns where a walker goes, or None if it must wait or has nowhere to go."""
        failed = self._given_up() | self._left_out
        own = [visit for visit in self._history if visit.walker == walker]
        scores = at_equal_epochs(self._history)
        if not own:
            point = self._order[walker % len(self._order)]
            if point in failed:
                point = next((p for p in self._order if p not in failed | busy), point)
        else:
            last = own[-1]
            slopes = self._slopes(last, scores)
            point = evolve(last.point, slopes, self.thresholds, self._limits, update=self.update)
            known = point in scores or point in failed or point in busy
            if self.update == "ascend" and known:
                point = look_around(scores, self._limits, self.k, taken=failed | busy)
            elif point in self._left_out:
                point = last.point
        return None if point in failed | busy else point


def _checked_thresholds(given: Any, factors: int) -> tuple[float, ...]:
    if given is None:
        return _THRESHOLDS[:factors]
    values = entries(given) or ()
    try:
        if len(values) != factors:
            raise ValueError
        return tuple(checked_real("thresholds", value, open_below=True) for value in values)
    except ValueError as error:
        number = "two" if factors == 2 else "three"
        raise ConfigError(
            f"thresholds is {shown(given)}; it must be {number} positive numbers."
        ) from error
