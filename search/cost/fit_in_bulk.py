"""Whether many subnets fit a budget, told at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.subnet_cost import SubnetCost
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets, SubnetMemory
from mcuformer_tflm.search.space import SearchSpace

_ROUNDING = 1e-9


class FitInBulk:
    """A budget over the subnets of one space, with tables of what these cost.

    Says of each subnet what ``Fit`` does: tables sort out what is surely too large or too slow, and
    ``Fit`` itself decides on what they cannot.

    Args:
        space: The subnets' space.
        fit: The budget.
    """

    def __init__(self, space: SearchSpace, fit: Fit) -> None:
        """Makes the tables, which takes some 0.1 ms a row and kind of block."""
        self._space, self._fit = space, fit
        quantization, board = fit.budget.quantization, fit.budget.board
        self._memory = SubnetMemory(space, quantization=quantization)
        self._cost: SubnetCost | None = None
        self._speed = 0 if board is None else board.external_bytes_per_second
        if fit.budget.milliseconds is not None and board is not None and fit.tells_time:
            self._cost = SubnetCost(space, board, quantization=quantization)

    def __call__(self, networks: Sequence[Architecture]) -> np.ndarray:
        """Returns whether each network fits, bool[n]."""
        if not networks:
            return np.zeros(0, bool)
        budget, subnets = self._fit.budget, EncodedSubnets.encode(self._space, networks)
        found = self._memory.evaluate(subnets)
        needed = found.arena if self._fit.memory == "arena" else found.eq5
        # What the first region alone does not hold may be divided over all of them.
        room = budget.sram if self._fit.memory == "arena" else budget.arena
        possible = (found.flash <= budget.flash) & (needed <= room)
        sure = possible & (needed <= budget.arena)
        if budget.milliseconds is not None:
            least, greatest = self._time(subnets)
            possible &= least <= budget.milliseconds * (1 + _ROUNDING)
            sure &= greatest <= budget.milliseconds * (1 - _ROUNDING)
        for index in np.flatnonzero(possible & ~sure):
            sure[index] = self._fit(networks[index])
        return sure

    def _time(self, subnets: EncodedSubnets) -> tuple[np.ndarray, np.ndarray]:
        # Bounds: the table may be off in what is read from external flash, not in whether.
        if self._cost is None:
            return np.zeros(len(subnets)), np.full(len(subnets), np.inf)
        found = self._cost.evaluate(subnets)
        time, reads = np.asarray(found.milliseconds), found.external_bytes
        reading = 1000 * reads / self._speed if self._speed else np.zeros(len(subnets))
        return time - reading, np.where(reads > 0, np.inf, time)


@functools.lru_cache(maxsize=16)
def fit_in_bulk(space: SearchSpace, fit: Fit) -> FitInBulk:
    """Returns the tables of a space under a budget, the same ones where they were made before."""
    return FitInBulk(space, fit)
