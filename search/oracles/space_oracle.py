"""What all oracles that choose pairs of patch size and rank ratio share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, get_args

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_type, checked_whole
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.oracles.evolution_step import (
    Inherit,
    Point,
    Visit,
    nearest_trained,
    without_rank,
)
from mcuformer_tflm.search.oracles.hyperparameters import source_values, space_from_values
from mcuformer_tflm.search.oracles.resumable_oracle import ResumableOracle, failure
from mcuformer_tflm.search.progress import tell
from mcuformer_tflm.search.space import SearchSpace

OBJECTIVE = "score"
_EPOCHS = 30
# A space that fails so often is given up.
_MAX_FAILURES = 2


class SpaceOracle(ResumableOracle):
    """Proposes pairs, and remembers their scores S = A + eta R (Eq. 2).

    In a space with both stems a pair is one of three: with the stem, whose two are one step apart.
    A trial trains the supernet of a pair for ``epochs`` more epochs (its earlier visits count) and
    reports S. Trials carry ``patch_size``, ``rank_ratio``, ``stem`` where the space has both,
    ``epochs``, the pair's total to reach, and where the pair inherits the same factors of the pair
    that it starts from, such as ``from_patch_size``. A failed trial is tried once more, then its
    pair is given up.

    Subclasses say in ``populate_space`` which pair comes next, and put it into ``_running``.

    Args:
        space: What to search.
        epochs: Epochs of one trial: 30, unless ``SupernetTuner.search(epochs=)`` says otherwise.
        trials: Trials at most.
        inherit: From whom a pair's supernet starts: ``"nearest"``, or ``"none"``, from nothing.
        seed: Of all draws.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Attributes:
        total: Trials at most.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        epochs: int | None,
        *,
        trials: int,
        inherit: Inherit,
        seed: int,
        worker_timeout: float,
    ) -> None:
        """Declares what trials carry."""
        self.space = checked_type("space", space, SearchSpace)
        checked_choice("inherit", inherit, get_args(Inherit))
        self.inherit = inherit
        self.total = trials
        self._epochs_are_open = epochs is None
        self.epochs = checked_whole("epochs", _EPOCHS if epochs is None else epochs)
        self._factors = space.space_factors
        seed = checked_whole("seed", seed, least=0)
        hp = keras_tuner.HyperParameters()
        for factor in self._factors:
            hp.Choice(factor, list(getattr(space, factor)))
        hp.Int("epochs", 1, max(2, trials * self.epochs))
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
        """Keeps the search from pairs that cannot win, such as those without a network that fits.

        Args:
            pairs: Parts of the space, from ``SearchSpace.pairs``, but not all.
        """
        self._left_out = self._absent | {self.space.place(pair) for pair in pairs}
        self._order = [point for point in self._order if point not in self._left_out]

    def set_epochs(self, epochs: int) -> None:
        """Sets the epochs of one trial, where the constructor left them open.

        Raises:
            ConfigError: If the constructor or the trials so far have other epochs.
        """
        epochs = checked_whole("epochs", epochs)
        if epochs == self.epochs:
            return
        if not self._epochs_are_open:
            raise ConfigError(
                f"epochs is {epochs} in search and {self.epochs} in {type(self).__name__}; leave "
                "one out."
            )
        if self.trials:
            raise ConfigError(
                f"epochs is {epochs}, but the trials of this search have {self.epochs}: scores "
                "after unequal training cannot be compared. Choose another project_name, or "
                "overwrite=True to start anew."
            )
        self.epochs = epochs

    def epochs_of(self, values: dict[str, Any]) -> int:
        """Returns the epochs that a trial trains, of the total that its values name."""
        return self.epochs

    def trial_ended(self, trial: Trial) -> None:
        """Takes a score in; a failure is told, and its pair tried once more."""
        walker, point = self._running.pop(trial.trial_id)
        if trial.status == TrialStatus.COMPLETED:
            total = trial.hyperparameters.values["epochs"]
            self._history.append(Visit(point, total, trial.score, walker))
            return
        self._failures[point] = self._failures.get(point, 0) + 1
        pair = ", ".join(f"{factor} {value}" for factor, value in self._values(point).items())
        tell(
            f"Trial {trial.trial_id} ({pair}) failed; "
            + ("the search goes on without that pair." if point in self._given_up()
               else "it is tried once more.")
            + f" {failure(trial)}"
        )  # fmt: skip

    def forget_failures(self) -> None:
        """Lets pairs be visited again that were given up."""
        self._failures = {}

    def best_space(self, accept: Callable[[SearchSpace], bool] | None = None) -> SearchSpace:
        """Returns the best pair: the one visited most often, ties broken by its best score.

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
            f"{pairs}. {self._remedy}, choose a larger board, or leave such values out of "
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

    # What a user would change who finds no network that fits.
    _remedy = "Visit more pairs"

    def _begin(
        self, trial_id: str, walker: int, point: Point, *, inherits: bool, epochs: int | None = None
    ) -> dict[str, Any]:
        """Hands out the trial of a pair.

        Args:
            trial_id: The trial.
            walker: Who goes there.
            point: The pair.
            inherits: Whether a pair without visits starts from the nearest trained one, where
                ``inherit`` says so.
            epochs: What it trains, where that is not what all trials do.
        """
        # Of pairs that others are training the weights would be neither old nor new.
        busy = self._busy()
        self._running[trial_id] = (walker, point)
        visited = bool(self._visits(point))
        if inherits and self.inherit == "nearest" and not visited and point not in self._sources:
            source = nearest_trained(point, [v for v in self._history if v.point not in busy])
            if source is not None:
                self._sources[point] = source
        more = self.epochs if epochs is None else epochs
        values = self._values(point) | {"epochs": self._epochs_seen(point) + more}
        if point in self._sources and not visited:
            values |= source_values(self._values(self._sources[point].point))
        return {"status": TrialStatus.RUNNING, "values": values}

    def _none(self) -> dict[str, Any]:
        """Hands out nothing: the caller waits for those who train, or the search is over."""
        status = TrialStatus.IDLE if self._running else TrialStatus.STOPPED
        return {"status": status, "values": None}

    def _busy(self) -> set[Point]:
        """Returns the pairs that are being trained."""
        return {point for _, point in self._running.values()}

    @property
    def _widths(self) -> np.ndarray:
        """What places are divided by for each factor's values to lie from 0 to 1."""
        return np.maximum(np.subtract(self._limits, 1), 1)

    def _epochs_seen(self, point: Point) -> int:
        inherited = self._sources[point].epochs if point in self._sources else 0
        return max((visit.epochs for visit in self._visits(point)), default=inherited)

    def _given_up(self) -> set[Point]:
        return {point for point, count in self._failures.items() if count >= _MAX_FAILURES}

    def _values(self, point: Point) -> dict[str, Any]:
        return {
            factor: getattr(self.space, factor)[index]
            for factor, index in zip(self._factors, point, strict=True)
        }

    def _is_pair(self, patch: int, rank: int, stem: int = 0) -> bool:
        space = self.space
        return space.stem[stem] in space.stems_of(space.patch_size[patch])

    def _visits(self, point: Point) -> list[Visit]:
        return [visit for visit in self._history if visit.point == point]

    def _ranking(self) -> list[Point]:
        scores: dict[Point, list[float]] = {}
        for visit in self._history:
            scores.setdefault(visit.point, []).append(visit.score)
        return sorted(scores, key=lambda point: (-len(scores[point]), -max(scores[point])))

    def _spread_out(self, count: int) -> list[Point]:
        """Returns pairs that lie far apart, the first one at random; fewer where there are fewer.

        Each is the one farthest from those before it, the values of a factor being one apart from
        the first to the last. None has a patch size and stem a second time before all have been
        there once, and so on: ranks are nested, and resemble each other more.
        """
        places = np.asarray(self._order, np.float64) / self._widths
        kinds = [without_rank(point) for point in self._order]
        often = dict.fromkeys(kinds, 0)
        chosen: list[int] = []
        nearest = np.full(len(places), math.inf)
        while len(chosen) < min(count, len(places)):
            left = [index for index in range(len(places)) if index not in chosen]
            least = min(often[kinds[index]] for index in left)
            index = max(
                (index for index in left if often[kinds[index]] == least),
                key=lambda index: nearest[index],
            )
            chosen.append(index)
            nearest = np.minimum(nearest, np.linalg.norm(places - places[index], axis=1))
            often[kinds[index]] += 1
        return [self._order[index] for index in chosen]


def _visit(told: Sequence[Any]) -> Visit:
    # As it was before JSON made lists of it.
    point, epochs, score, walker = told
    return Visit(tuple(point), epochs, score, walker)
