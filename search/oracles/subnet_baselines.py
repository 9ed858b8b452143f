"""Searches without evolution, to measure it against."""

from __future__ import annotations

import itertools
from typing import Any

from mcuformer_tflm.keras_models.checked_values import checked_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Memory
from mcuformer_tflm.search.oracles.subnet_oracle import SubnetOracle
from mcuformer_tflm.search.space import SearchSpace


class RandomSubnets(SubnetOracle):
    """Random subnets that fit, each once.

    Args:
        space: The space of one supernet.
        budget: SRAM and flash.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        subnets: How many, at most.
        seed: Of all draws.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        BudgetError: If no subnet of the space fits.
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        *,
        memory: Memory = "arena",
        subnets: int = 1050,
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks the number."""
        self.total = checked_whole("subnets", subnets)
        super().__init__(space, budget, memory=memory, seed=seed, worker_timeout=worker_timeout)

    def more(self) -> list[str]:
        """Returns all subnets at once."""
        return [] if self._proposed else self.draw_random(self.total)

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        return {**super().configuration(), "subnets": self.total}


class GridSubnets(SubnetOracle):
    """Every subnet that fits and whose blocks are all alike: a grid of all factors.

    Over blocks that differ a grid is out of reach: the paper's space has 4**14 at one width.

    Args:
        space: The space of one supernet.
        budget: SRAM and flash.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        BudgetError: If no subnet of the space fits.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        *,
        memory: Memory = "arena",
        worker_timeout: float = 60.0,
    ) -> None:
        """Counts the grid."""
        super().__init__(space, budget, memory=memory, worker_timeout=worker_timeout)
        self.total = len(self._grid())

    def more(self) -> list[str]:
        """Returns the whole grid at once."""
        if self._proposed:
            return []
        proposed = (self.propose(architecture) for architecture in self._grid())
        return [text for text in proposed if text is not None]

    def _grid(self) -> list:
        space = self.space
        points = itertools.product(
            space.patch_size, space.rank_ratio, space.embed_dim, space.depth, space.num_heads,
            space.mlp_ratio, space.stem, space.head_dim,
        )  # fmt: skip
        grid = [
            space.build(
                patch, rank, dim, (heads,) * depth, (ratio,) * depth, stem=stem, head_dim=width
            )
            for patch, rank, dim, depth, heads, ratio, stem, width in points
            if stem in space.stems_of(patch)
        ]
        return [architecture for architecture in grid if self.fit(architecture)]
