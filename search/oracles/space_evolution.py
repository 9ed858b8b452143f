"""Evolution of the search space as a keras-tuner oracle (paper, algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, get_args

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_real,
    checked_type,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.oracles.evolution_step import (
    Inherit,
    Point,
    Update,
    Visit,
    at_equal_epochs,
    evolve,
    fit_plane,
    look_around,
    nearest_trained,
    neighbourhood,
)
from mcuformer_tflm.search.oracles.hyperparameters import source_values, space_from_values
from mcuformer_tflm.search.oracles.resumable_oracle import ResumableOracle, failure
from mcuformer_tflm.search.progress import tell
from mcuformer_tflm.search.space import SearchSpace

OBJECTIVE = "score"
_EPOCHS = 30
# A space that fails so often is given up; its walker looks elsewhere.
_MAX_FAILURES = 2
# Of each factor of the space, ``SearchSpace.space_factors``.
_THRESHOLDS = (0.01, 0.01, 0.01)


class SpaceEvolution(ResumableOracle):
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
        self.space = checked_type("space", space, SearchSpace)
        self.starts, self.steps = checked_whole("starts", starts), checked_whole("steps", steps)
        self.k = checked_whole("k", k)
        self._epochs_are_open = epochs is None
        self.epochs = checked_whole("epochs", _EPOCHS if epochs is None else epochs)
        self._factors = space.space_factors
        self.thresholds = _checked_thresholds(thresholds, len(self._factors))
        checked_choice("update", update, get_args(Update))
        self.update = update
        checked_choice("inherit", inherit, get_args(Inherit))
        self.inherit = inherit
        seed = checked_whole("seed", seed, least=0)
        hp = keras_tuner.HyperParameters()
        for factor in self._factors:
            hp.Choice(factor, list(getattr(space, factor)))
        hp.Int("epochs", 1, max(2, self.starts * self.steps * self.epochs))
        super().__init__(OBJECTIVE, hp, seed, worker_timeout=worker_timeout)
        self._limits = tuple(len(getattr(space, factor)) for factor in self._factors)
        chosen = np.random.default_rng(seed).permutation(math.prod(self._limits))
        places = np.transpose(np.unravel_index(chosen, self._limits))
        self._order: list[Point] = [tuple(map(int, place)) for place in places]
        self._history: list[Visit] = []
        self._running: dict[str, tuple[int, Point]] = {}
        self._failures: dict[Point, int] = {}
        # Of each pair that inherits: from which visit. It stays the same if the trial fails.
        self._sources: dict[Point, Visit] = {}
        # Stems that do not take patches of a size.
        self._absent = {point for point in self._order if not self._is_pair(*point)}
        self.leave_out(())

    @property
    def history(self) -> list[Visit]:
        """All scored visits, in the order in which their trials ended."""
        return list(self._history)

    def leave_out(self, pairs: Collection[SearchSpace]) -> None:
        """Keeps walkers from pairs that cannot win, such as those without a network that fits.

        Args:
            pairs: Parts of the space, from ``SearchSpace.pairs``, but not all.
        """
        self._left_out = self._absent | {self.space.place(pair) for pair in pairs}
        self._order = [point for point in self._order if point not in self._left_out]

    def set_epochs(self, epochs: int) -> None:
        """Sets the epochs of one step, where the constructor left them open.

        Raises:
            ConfigError: If the constructor or the trials so far have other epochs.
        """
        epochs = checked_whole("epochs", epochs)
        if epochs == self.epochs:
            return
        if not self._epochs_are_open:
            raise ConfigError(
                f"epochs is {epochs} in search and {self.epochs} in SpaceEvolution; leave one out."
            )
        if self.trials:
            raise ConfigError(
                f"epochs is {epochs}, but the trials of this search have {self.epochs}: scores "
                "after unequal training cannot be compared. Choose another project_name, or "
                "overwrite=True to start anew."
            )
        self.epochs = epochs

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the trial of the free walker that has taken the fewest steps."""
        walking = {walker for walker, _ in self._running.values()}
        busy = {point for _, point in self._running.values()}
        taken = [sum(visit.walker == walker for visit in self._history)
                 for walker in range(self.starts)]  # fmt: skip
        for walker in sorted(range(self.starts), key=lambda walker: taken[walker]):
            if walker in walking or taken[walker] >= self.steps:
                continue
            point = self._next_point(walker, busy)
            if point is None:
                continue
            self._running[trial_id] = (walker, point)
            if taken[walker]:
                self._choose_source(point, busy)
            values = self._values(point) | {"epochs": self._epochs_seen(point) + self.epochs}
            if point in self._sources and not self._visits(point):
                values |= source_values(self._values(self._sources[point].point))
            return {"status": TrialStatus.RUNNING, "values": values}
        status = TrialStatus.IDLE if self._running else TrialStatus.STOPPED
        return {"status": status, "values": None}

    def trial_ended(self, trial: Trial) -> None:
        """Takes a score in; a failure takes no step of its walker."""
        walker, point = self._running.pop(trial.trial_id)
        if trial.status == TrialStatus.COMPLETED:
            total = trial.hyperparameters.values["epochs"]
            self._history.append(Visit(point, total, trial.score, walker))
            return
        self._failures[point] = self._failures.get(point, 0) + 1
        given_up = self._failures[point] >= _MAX_FAILURES
        pair = ", ".join(f"{factor} {value}" for factor, value in self._values(point).items())
        tell(
            f"Trial {trial.trial_id} ({pair}) failed; "
            + ("the search goes on without that pair." if given_up else "it is tried once more.")
            + f" {failure(trial)}"
        )

    def forget_failures(self) -> None:
        """Lets walkers go to pairs again that were given up."""
        self._failures = {}

    def best_space(self, accept: Callable[[SearchSpace], bool] | None = None) -> SearchSpace:
        """Returns the pair visited most often, ties broken by its best score.

        Args:
            accept: Leaves out pairs for which it is false, such as those that hold no network
                which fits the board.

        Raises:
            ConfigError: If no trial has finished.
            BudgetError: If no visited pair is accepted.
        """
        if not self._history:
            raise ConfigError("No space has been scored yet; run the search first.")
        ranking = [self._values(point) for point in self._ranking()]
        spaces = [space_from_values(values, self.space) for values in ranking]
        for space in spaces:
            if accept is None or accept(space):
                return space
        pairs = ", ".join(f"({', '.join(map(str, values.values()))})" for values in ranking)
        first, *factors, last = self._factors
        names = ", ".join([first, *factors]) + f" and {last}"
        raise BudgetError(
            f"None of the visited pairs of {names} holds a network that fits: "
            f"{pairs}. Raise starts or steps, choose a larger board, or leave such values out of "
            "the space."
        )

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Returns the last trial of each pair, best pair first (``best_space``)."""
        done = [trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED]
        done.sort(key=lambda trial: -trial.hyperparameters.values["epochs"])
        best = []
        for point in self._ranking():
            pair = self._values(point)
            for trial in done:
                if pair.items() <= trial.hyperparameters.values.items():
                    best.append(trial)
                    break
        return best[:num_trials]

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("starts", "steps", "epochs", "k", "thresholds", "update", "inherit", "seed")
        return {
            "space": self.space.to_dict(),
            **{field: getattr(self, field) for field in fields},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from ``get_state``, with its epochs where the constructor left them open."""
        told = {"inherit": "none"} | state["configuration"]  # as it was before it could be chosen
        if self._epochs_are_open:
            self.epochs = told.get("epochs", self.epochs)
        super().set_state({**state, "configuration": told})

    def decisions(self) -> dict[str, Any]:
        """Returns what the next answer depends on, ready for JSON."""
        return {
            "history": self._history,
            "running": self._running,
            "failures": list(self._failures.items()),
            "sources": list(self._sources.items()),
        }

    def set_decisions(self, decisions: dict[str, Any]) -> None:
        """Continues from ``decisions``."""
        self._history = [_visit(told) for told in decisions["history"]]
        self._running = {
            name: (walker, tuple(point)) for name, (walker, point) in decisions["running"].items()
        }
        self._failures = {tuple(point): count for point, count in decisions["failures"]}
        self._sources = {tuple(point): _visit(told) for point, told in decisions.get("sources", ())}

    def _values(self, point: Point) -> dict[str, Any]:
        return {
            factor: getattr(self.space, factor)[index]
            for factor, index in zip(self._factors, point, strict=True)
        }

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

    def _is_pair(self, patch: int, rank: int, stem: int = 0) -> bool:
        space = self.space
        return space.stem[stem] in space.stems_of(space.patch_size[patch])

    def _visits(self, point: Point) -> list[Visit]:
        return [visit for visit in self._history if visit.point == point]

    def _epochs_seen(self, point: Point) -> int:
        inherited = self._sources[point].epochs if point in self._sources else 0
        return max((visit.epochs for visit in self._visits(point)), default=inherited)

    def _choose_source(self, point: Point, busy: set[Point]) -> None:
        # Of pairs that others are training the weights would be neither old nor new.
        if self.inherit == "none" or point in self._sources or self._visits(point):
            return
        source = nearest_trained(point, [v for v in self._history if v.point not in busy])
        if source is not None:
            self._sources[point] = source

    def _ranking(self) -> list[Point]:
        scores: dict[Point, list[float]] = {}
        for visit in self._history:
            scores.setdefault(visit.point, []).append(visit.score)
        return sorted(scores, key=lambda point: (-len(scores[point]), -max(scores[point])))

    def _next_point(self, walker: int, busy: set[Point]) -> Point | None:
        """Returns where a walker goes, or None if it must wait or has nowhere to go."""
        failed = {point for point, count in self._failures.items() if count >= _MAX_FAILURES}
        failed |= self._left_out
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


def _visit(told: Sequence[Any]) -> Visit:
    point, epochs, score, walker = told
    return Visit(tuple(point), epochs, score, walker)


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
