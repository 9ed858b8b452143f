"""Evolution of subnets under a budget as a keras-tuner oracle (paper, B.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_real, checked_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Memory
from mcuformer_tflm.search.oracles.front import checked_objectives, objective_costs
from mcuformer_tflm.search.oracles.non_dominated import crowded_order
from mcuformer_tflm.search.oracles.subnet_oracle import OBJECTIVE, SubnetOracle
from mcuformer_tflm.search.space import SearchSpace

_PAPERS = (OBJECTIVE,)
# AutoFormer's number.
_PARENTS = 10


class SubnetEvolution(SubnetOracle):
    """Random subnets that fit, then generations of crossover and mutation of the best.

    Algorithm:
      - The first generation is ``population`` random subnets that fit.
      - Each further one is half children of two parents, half mutants of one, parents being
        drawn from the ``parents`` best subnets of all so far.
      - Never a subnet twice, never one that does not fit, measured as ``memory`` says.

    Best are the most accurate ones, as in the paper. With more ``objectives`` they are those of
    NSGA-II (Deb et al., 2002): what no other one beats in all of them comes first, then what only
    those beat, and so on; of equally good ones the less crowded. A parent is the better of two that
    are drawn. The search then looks along the whole front of accuracy against cost, for boards
    smaller than the budget, and spends less of itself on the most accurate subnet that fits.

    A pure state machine, as ``SpaceEvolution``. Defaults are the paper's; it does not give the
    number of parents, which is AutoFormer's.

    Args:
        space: The space of one supernet (one patch size, one rank ratio).
        budget: SRAM, flash and time.
        memory: ``"arena"``, or ``"eq5"`` for the paper's figure.
        population: Random subnets at the start, and new ones a generation.
        parents: Best subnets that breed; by default 10, and ``population`` where there are more
            objectives than accuracy.
        generations: Generations after the first.
        whole_probability: P_d, with which a mutation redraws depth, and ``embed_dim``.
        block_probability: P_m, with which it redraws a block's heads, and its MLP.
        objectives: ``"accuracy"``, and of ``"memory_bytes"``, ``"flash_bytes"`` and
            ``"milliseconds"`` what shall be small besides.
        seed: Of all draws.
        worker_timeout: Seconds after which a silent worker's trial is handed out again.

    Raises:
        BudgetError: If no subnet of the space fits.
        ConfigError: If a number is out of range, or objectives are others, or of a time that the
            budget's board does not tell.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        *,
        memory: Memory = "arena",
        population: int = 50,
        parents: int | None = None,
        generations: int = 20,
        whole_probability: float = 0.2,
        block_probability: float = 0.4,
        objectives: Sequence[str] = _PAPERS,
        seed: int = 0,
        worker_timeout: float = 60.0,
    ) -> None:
        """Checks the numbers."""
        self.population = checked_whole("population", population, least=2)
        self.generations = checked_whole("generations", generations, least=0)
        self.whole_probability = checked_real("whole_probability", whole_probability, high=1)
        self.block_probability = checked_real("block_probability", block_probability, high=1)
        super().__init__(space, budget, memory=memory, seed=seed, worker_timeout=worker_timeout)
        self.objectives = checked_objectives(objectives, self.fit)
        if parents is None:
            parents = _PARENTS if self.objectives == _PAPERS else self.population
        self.parents = checked_whole("parents", parents)
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
        best = self._best()
        draws = 1 if self.objectives == _PAPERS else 2

        def parent() -> Architecture:
            # They are in order: the better of two is the one that comes first.
            return best[min(int(self._rng.integers(len(best))) for _ in range(draws))]

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

    def _best(self) -> list[Architecture]:
        if self.objectives == _PAPERS:
            return [Architecture.from_json(text) for text in self.ranking()[: self.parents]]
        scored = self.scored()
        order = crowded_order(objective_costs(scored, self.objectives))
        return [scored[index].architecture for index in order[: self.parents]]

    def configuration(self) -> dict[str, Any]:
        """Returns the arguments that a resumed search must share."""
        fields = ("population", "parents", "generations", "whole_probability", "block_probability")
        told = {
            **super().configuration(),
            **{field: getattr(self, field) for field in fields},
            "objectives": list(self.objectives),
        }
        if "milliseconds" in self.objectives:
            told |= self.fit.budget.timed_limits
        return told

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from ``get_state``; older searches had no objectives but accuracy."""
        told = {"objectives": list(_PAPERS)} | state["configuration"]
        super().set_state({**state, "configuration": told})

    def decisions(self) -> dict[str, Any]:
        """Returns what the next answer depends on, ready for JSON."""
        return {**super().decisions(), "generation": self._generation}

    def set_decisions(self, decisions: dict[str, Any]) -> None:
        """Continues from ``decisions``."""
        super().set_decisions(decisions)
        self._generation = decisions["generation"]
