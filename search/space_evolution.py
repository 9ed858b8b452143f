"""Evolution of the search space as a keras-tuner oracle (paper, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.evolution_step import Point, Update, evolve, fit_plane, nearest
from mcuformer_tflm.search.space import SearchSpace

OBJECTIVE = "score"


class SpaceEvolution(keras_tuner.Oracle):
    """Moves pairs of patch size and rank ratio towards a better score S = A + eta R (Eq. 2).

    Algorithm:
      - ``starts`` walkers begin at random pairs. A trial trains the supernet of a walker's pair
        for ``epochs`` more epochs (the pair's earlier visits count: its checkpoint is resumed)
        and reports S.
      - From S and those of the ``k`` nearest pairs with the same total of epochs (or, where
        there is no other, one visit fewer) a plane is fitted; the walker moves along its slope
        (``evolution_step.evolve``).
      - After ``steps`` trials a walker rests. The best pair is the one visited most often,
        ties broken by score.

    A pure state machine: ``get_state`` holds all of it, so that a reloaded oracle goes on as
    the first would have. Trials carry ``patch_size``, ``rank_ratio`` and ``epochs``, the
    pair's total to reach.

    Args:
        space: What to search.
        starts: Number of walkers, n.
        steps: Trials of each walker.
        epochs: Epochs of one step, t.
        k: Neighbours of the plane.
        thresholds: h1, h2: slope of S per step of patch size and rank ratio that moves one
            step.
        update: ``"ascend"`` or, literally as printed, ``"paper"``.
        seed: Of the starting pairs.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        starts: int = 5,
        steps: int = 4,
        epochs: int = 30,
        k: int = 5,
        thresholds: tuple[float, float] = (0.01, 0.01),
        update: Update = "ascend",
        seed: int = 0,
    ) -> None:
        """Draws the starting pairs."""
        for field, value in (("starts", starts), ("steps", steps), ("epochs", epochs), ("k", k)):
            if value < 1:
                raise ConfigError(f"{field} is {value}; it must be at least 1.")
        if min(thresholds) <= 0:
            raise ConfigError(f"thresholds is {thresholds}; both must be positive.")
        if update not in ("ascend", "paper"):
            raise ConfigError(f"update is {update!r}; allowed are 'ascend' and 'paper'.")
        hp = keras_tuner.HyperParameters()
        hp.Choice("patch_size", list(space.patch_size))
        hp.Choice("rank_ratio", list(space.rank_ratio))
        hp.Int("epochs", 1, max(2, starts * steps * epochs))
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            hyperparameters=hp,
            seed=seed + 1,  # 0 would mean a random one
        )
        self.space = space
        self.steps, self.epochs, self.k = steps, epochs, k
        self.thresholds, self.update = thresholds, update
        limits = (len(space.patch_size), len(space.rank_ratio))
        chosen = np.random.default_rng(seed).permutation(limits[0] * limits[1])
        self._points = [divmod(int(chosen[i % len(chosen)]), limits[1]) for i in range(starts)]
        self._taken = [0] * starts
        self._running: dict[str, int] = {}
        self._history: list[tuple[Point, int, float]] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the trial of the first walker that is free to take a step."""
        busy = {self._points[walker] for walker in self._running.values()}
        waiting = False
        for walker, point in enumerate(self._points):
            if self._taken[walker] >= self.steps:
                continue
            if walker in self._running.values() or point in busy:
                waiting = True
                continue
            self._running[trial_id] = walker
            values = {
                "patch_size": self.space.patch_size[point[0]],
                "rank_ratio": self.space.rank_ratio[point[1]],
                "epochs": self._epochs_seen(point) + self.epochs,
            }
            return {"status": TrialStatus.RUNNING, "values": values}
        return {"status": TrialStatus.IDLE if waiting else TrialStatus.STOPPED, "values": None}

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes a finished trial's score in and moves its walker."""
        super().end_trial(trial)
        if trial.status not in (TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.INVALID):
            return
        walker = self._running.pop(trial.trial_id, None)
        if walker is None or trial.trial_id in self._retry_queue:
            return
        point = self._points[walker]
        self._taken[walker] += 1
        if trial.status == TrialStatus.COMPLETED:
            total = trial.hyperparameters.values["epochs"]
            score = self.get_trial(trial.trial_id).score
            self._history.append((point, total, score))
            self._points[walker] = self._next_point(point, total)
        self.save()

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
        visits: dict[Point, list[float]] = {}
        for point, _, score in self._history:
            visits.setdefault(point, []).append(score)
        order = sorted(visits, key=lambda point: (-len(visits[point]), -max(visits[point])))
        spaces = [
            self.space.at(self.space.patch_size[point[0]], self.space.rank_ratio[point[1]])
            for point in order
        ]
        for space in spaces:
            if accept is None or accept(space):
                return space
        pairs = ", ".join(f"({space.patch_size[0]}, {space.rank_ratio[0]})" for space in spaces)
        raise BudgetError(
            f"None of the visited pairs of patch_size and rank_ratio holds a network that fits: "
            f"{pairs}. Raise starts or steps, choose a larger board, or leave such values out of "
            "the space."
        )

    def get_state(self) -> dict[str, Any]:
        """Returns everything that the next answer depends on, ready for JSON."""
        return {
            **super().get_state(),
            "points": self._points,
            "taken": self._taken,
            "running": self._running,
            "history": self._history,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from ``get_state``."""
        super().set_state(state)
        self._points = [(point[0], point[1]) for point in state["points"]]
        self._taken = list(state["taken"])
        self._running = dict(state["running"])
        self._history = [
            ((point[0], point[1]), total, score) for point, total, score in state["history"]
        ]

    def _epochs_seen(self, point: Point) -> int:
        return max((total for other, total, _ in self._history if other == point), default=0)

    def _next_point(self, point: Point, total: int) -> Point:
        equal = [entry for entry in self._history if entry[1] == total]
        if len(equal) < 2:
            equal = equal + [e for e in self._history if e[1] == total - self.epochs]
        chosen = nearest(point, [entry[0] for entry in equal], self.k)
        slopes = fit_plane([equal[i][0] for i in chosen], [equal[i][2] for i in chosen])
        limits = (len(self.space.patch_size), len(self.space.rank_ratio))
        return evolve(point, slopes, self.thresholds, limits, self.update)
