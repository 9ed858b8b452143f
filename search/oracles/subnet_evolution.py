"""Evolution of subnets under a memory budget as a keras-tuner oracle (paper, B.4)."""

from __future__ import annotations

from typing import Any

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_real, checked_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Memory
from mcuformer_tflm.search.oracles.subnet_oracle import SubnetOracle
from mcuformer_tflm.search.space import SearchSpace


class SubnetEvolution(SubnetOracle):
    """Random subnets that fit, then generations of crossover and mutation of the best.

    Algorithm:
      - The first generation is ``population`` random subnets that fit.
      - Each further one is half children of two parents, half mutants of one, parents being
        drawn from the ``parents`` most accurate subnets of all so far.
      - Never a subnet twice, never one that does not fit, measured as ``memory`` says.

    A pure state machine, as ``SpaceEvolution``. Defaults are the paper's; it does not give the
    number of parents, which is AutoFormer's.

    Args:
        space: The space of one supernet (one patch size, one rank ratio).
        budget: SRAM and flash.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        population: Random subnets at the start, and new ones a generation.
        parents: Best subnets that breed.
        generations: Generations after the first.
        whole_probability: P_d, with which a mutation redraws depth, and ``embed_dim``.
        block_probability: P_m, with which it redraws a block's heads, and its MLP.
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
        population: int = 50,
        parents: int = 10,
        generations: int = 20,
        whole_probability: float = 0.2,
        block_probability: float = 0.4,
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks the numbers."""
        self.population = checked_whole("population", population, least=2)
        self.parents = checked_whole("parents", parents)
        self.generations = checked_whole("generations", generations, least=0)
        self.whole_probability = checked_real("whole_probability", whole_probability, high=1)
        self.block_probability = checked_real("block_probability", block_probability, high=1)
        super().__init__(space, budget, memory=memory, seed=seed, worker_timeout=worker_timeout)
        self.total = self.population * (self.generations + 1)
        self._generation = -1

    def more(self) -> list[str]:
        """Returns the next generation."""
        started = self._generation >= 0
        if self._generation >= self.generations or (started and not self._scores):
            return []
        self._generation += 1
        if not started:
            return self.draw_random(self.population)
        best = [Architecture.from_json(text) for text in self.ranking()[: self.parents]]

        def parent() -> Architecture:
            return best[int(self._rng.integers(len(best)))]

        def child() -> Architecture:
            return self.space.crossover(parent(), parent(), self._rng)

        def mutant() -> Architecture:
            return self.space.mutate(
                parent(),
                self._rng,
                whole_probability=self.whole_probability,
                block_probability=self.block_probability,
            )

        half = self.population // 2
        return self.draw(half, child) + self.draw(self.population - half, mutant)

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("population", "parents", "generations", "whole_probability", "block_probability")
        return {
            **super().configuration(),
            **{field: getattr(self, field) for field in fields},
        }

    def decisions(self) -> dict[str, Any]:
        """Returns what the next answer depends on, ready for JSON."""
        return {**super().decisions(), "generation": self._generation}

    def set_decisions(self, decisions: dict[str, Any]) -> None:
        """Continues from ``decisions``."""
        super().set_decisions(decisions)
        self._generation = decisions["generation"]
