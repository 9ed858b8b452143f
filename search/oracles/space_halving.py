"""Successive halving over pairs as a keras-tuner oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcuformer_tflm.keras_models.checked_values import checked_whole, entries, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.oracles.evolution_step import Inherit, Point, Visit, less_growth
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.space import SearchSpace


class SpaceHalving(SpaceOracle):
    """Trains many pairs a little, and the better half of them twice as much, until one is left.

    Successive halving (Jamieson and Talwalkar, Non-stochastic Best Arm Identification and
    Hyperparameter Optimization, 2016). Pairs enter that lie far apart, so that each stem and patch
    size is among them. Of a rung the best ``1 / reduction`` go on, trained ``reduction`` times as
    long as in that rung, on top of it; every rung then takes about as many epochs. The last rung
    has at most ``reduction`` pairs, and its best one wins. A pair that failed for good drops out.

    A pure state machine, as ``SpaceEvolution``. Trials carry ``more_epochs`` too, what they train
    of their ``epochs``.

    Args:
        space: What to search.
        pairs: That enter; fewer where the space has fewer.
        epochs: Epochs of a trial of the first rung: 30, unless ``SupernetTuner.search(epochs=)``
            says otherwise.
        reduction: How many times fewer pairs a rung has than the one before it.
        first: Pairs that enter in this order, before those that lie far apart from each other; of
            a zero-cost proxy, say.
        inherit: From whom a pair's supernet starts: ``"none"``, from nothing, or ``"nearest"``.
            Unequal epochs are then made up for as in ``SpaceEvolution``.
        seed: Of the first pair.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        ConfigError: If a number is out of range, or one of ``first`` is no pair of the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        pairs: int = 8,
        *,
        epochs: int | None = None,
        reduction: int = 2,
        first: Sequence[SearchSpace] = (),
        inherit: Inherit = "none",
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks the numbers."""
        self.pairs = checked_whole("pairs", pairs)
        self.reduction = checked_whole("reduction", reduction, least=2)
        super().__init__(
            space, epochs, trials=sum(_rungs(self.pairs, self.reduction)), inherit=inherit,
            seed=seed, worker_timeout=worker_timeout,
        )  # fmt: skip
        self.first = _places(first, space)

    def epochs_of(self, values: dict[str, Any]) -> int:
        """Returns the epochs that a trial trains, of the total that its values name."""
        more: int = values["more_epochs"]
        return more

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Hands out the next pair of the rung; waits while others train the last ones of it."""
        rung, waiting = self._now()
        if not waiting:
            return self._none()
        more = self.epochs * self.reduction**rung
        answer = self._begin(trial_id, rung, waiting[0], inherits=True, epochs=more)
        answer["values"]["more_epochs"] = more
        return answer

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("pairs", "epochs", "reduction", "first", "inherit")
        return {
            "space": self.space.to_dict(),
            **{field: getattr(self, field) for field in fields},
            "seed": self.seed - 1,
        }

    _remedy = "Let more pairs enter"

    def _now(self) -> tuple[int, list[Point]]:
        """Returns the rung under way, and those of its pairs that wait to be trained."""
        failed, busy = self._given_up(), self._busy()
        entered = [point for point in self.first if point not in self._left_out]
        entered += [p for p in self._spread_out(len(self._order)) if p not in entered]
        pairs, rung = entered[: self.pairs], 0
        while True:
            visited = [visit for visit in self._history if visit.walker == rung]
            done = {visit.point for visit in visited}
            missing = [p for p in pairs if p not in done and p not in failed]
            if missing or len(pairs) <= self.reduction:
                return rung, [point for point in missing if point not in busy]
            kept = -(-len(pairs) // self.reduction)
            pairs, rung = self._best_first(visited)[:kept], rung + 1

    def _ranking(self) -> list[Point]:
        ranking: list[Point] = []
        for rung in sorted({visit.walker for visit in self._history}, reverse=True):
            best = self._best_first([visit for visit in self._history if visit.walker == rung])
            ranking += [point for point in best if point not in ranking]
        return ranking

    def _best_first(self, visited: list[Visit]) -> list[Point]:
        scores = less_growth(visited, self._history)
        order = sorted(range(len(visited)), key=lambda index: -scores[index])
        return [visited[index].point for index in order]


def _rungs(pairs: int, reduction: int) -> list[int]:
    # How many pairs each rung has. One that stands alone has won without a rung of its own.
    counts = [pairs]
    while counts[-1] > reduction:
        counts.append(-(-counts[-1] // reduction))
    return counts


def _places(first: Any, space: SearchSpace) -> list[Point]:
    found, pairs, places = entries(first), space.pairs(), []
    if found is None:
        raise ConfigError(f"first is {shown(first)}; it must be a tuple of the space's pairs().")
    for pair in found:
        if not isinstance(pair, SearchSpace) or pair not in pairs:
            raise ConfigError(f"first holds {shown(pair)}, which is none of the space's pairs().")
        places.append(space.place(pair))
    return places
