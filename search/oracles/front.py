"""The front of accuracy against what a subnet costs: as a sequence, a table and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from rich.table import Table

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.oracles.non_dominated import crowded_order, dominated_by

# The objective that every search has; of the others less is better.
OBJECTIVE = "accuracy"
OBJECTIVE_LABELS = {
    "memory_bytes": "arena, bytes",
    "flash_bytes": "flash, bytes",
    "milliseconds": "milliseconds (estimate)",
}
OBJECTIVES = (OBJECTIVE, *OBJECTIVE_LABELS)
_OTHERS, _OF_FRONT, _BUDGET = "#b8b8b8", "#4c78a8", "#e45756"
# A limit further off than this would flatten a picture.
_NEAR = 3


@dataclasses.dataclass(frozen=True)
class ScoredSubnet:
    """A subnet that was scored, and what it costs; the costs are predictions.

    Attributes:
        architecture: The subnet.
        accuracy: Its score, 0 to 1.
        memory_bytes: SRAM: the arena, or the paper's figure where the search counts that.
        flash_bytes: The model file.
        milliseconds: An inference on the budget's board; None where that cannot be told.
    """

    architecture: Architecture
    accuracy: float
    memory_bytes: int
    flash_bytes: int
    milliseconds: float | None

    def costs(self, objectives: Sequence[str]) -> list[float]:
        """Returns the figures that objectives name, each the better the less."""
        return [
            -self.accuracy if objective == OBJECTIVE else float(getattr(self, objective))
            for objective in objectives
        ]


class Front(Sequence[ScoredSubnet]):
    """The scored subnets that no other one beats in every objective, the most accurate first.

    Args:
        scored: All scored subnets.
        objectives: Of which they are compared, ``"accuracy"`` among them.
        fit: Whose limits the picture shows.

    Attributes:
        scored: All scored subnets.
        objectives: Of which they are compared.
    """

    def __init__(
        self, scored: Sequence[ScoredSubnet], objectives: Sequence[str], *, fit: Fit
    ) -> None:
        """Sorts them."""
        self.scored, self.objectives = tuple(scored), tuple(objectives)
        self._fit = fit
        self._costs = objective_costs(self.scored, self.objectives)
        free = ~dominated_by(self._costs).any(axis=1)
        # Of equals the first is enough.
        _, first = np.unique(self._costs, axis=0, return_index=True)
        members = sorted(
            set(np.flatnonzero(free)) & set(first), key=lambda index: tuple(self._costs[index])
        )
        self._members = np.asarray(members, int)

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> ScoredSubnet: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ScoredSubnet]: ...

    def __getitem__(self, index: int | slice) -> ScoredSubnet | Sequence[ScoredSubnet]:
        """Returns one of the front, the most accurate first."""
        if isinstance(index, slice):
            return [self.scored[member] for member in self._members[index]]
        return self.scored[self._members[index]]

    def table(self, rows: int = 20) -> Table:
        """Returns the front for a terminal.

        Args:
            rows: At most; of more subnets those that are least alike (crowding distance).

        Raises:
            ConfigError: If ``rows`` is no whole number above 0.
        """
        rows = checked_whole("rows", rows)
        order = crowded_order(self._costs[self._members])
        told = [self[int(index)] for index in np.sort(order[:rows])]
        table = Table(
            title=f"{len(self)} of {len(self.scored)} subnets that none beats in "
            + " and ".join(name.removesuffix("_bytes") for name in self.objectives),
            caption=f"Budget: {self._fit.budget}."
            + (f" The {rows} least alike." if rows < len(self) else ""),
        )
        for name in ("accuracy", "arena" if self._fit.memory == "arena" else "Eq. 5", "flash",
                     "ms", "embed_dim", "head_dim", "num_heads", "mlp_ratio"):  # fmt: skip
            table.add_column(name, justify="right", no_wrap=True)
        for subnet in told:
            arch, time = subnet.architecture, subnet.milliseconds
            table.add_row(
                f"{subnet.accuracy:.4f}", f"{subnet.memory_bytes:,}", f"{subnet.flash_bytes:,}",
                "" if time is None else f"{time:,.1f}", str(arch.embed_dim), str(arch.head_dim),
                " ".join(map(str, arch.num_heads)), " ".join(f"{r:g}" for r in arch.mlp_ratio),
            )  # fmt: skip
        return table

    def draw(self, path: AnyPath, title: str = "") -> None:
        """Draws accuracy against arena, flash and time, a picture each.

        Discs are subnets of the front, dots all others; the step is the front of accuracy against
        that figure alone, the upright line the budget's limit.

        Args:
            path: Where to, ``.png`` or ``.svg``.
            title: Above the pictures.
        """
        from matplotlib.figure import Figure

        drawn = known_objectives(self._fit)[1:]
        figure = Figure(figsize=(4.2 * len(drawn), 4.2), layout="constrained")
        for axes, objective in zip(
            figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0], drawn, strict=True
        ):
            self._draw_one(axes, objective)
        figure.axes[0].set_ylabel("accuracy")
        figure.suptitle(title or f"Front of {len(self)} of {len(self.scored)} subnets")
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), fontsize=8, ncols=4,
            loc="outside lower center",
        )  # fmt: skip
        save_picture(figure, path)

    def _draw_one(self, axes: Any, objective: str) -> None:
        chosen = set(map(int, self._members))
        draw_costs(
            axes,
            [getattr(subnet, objective) for subnet in self.scored],
            [subnet.accuracy for subnet in self.scored],
            [index in chosen for index in range(len(self.scored))],
            label=OBJECTIVE_LABELS[objective],
            limit=self.limit(objective),
        )

    def limit(self, objective: str) -> float | None:
        """Returns the budget's limit of an objective other than accuracy; None where it has none.

        Args:
            objective: One of ``OBJECTIVES``.
        """
        budget = self._fit.budget
        limits = {
            "memory_bytes": budget.sram if self._fit.memory == "arena" else budget.arena,
            "flash_bytes": budget.flash,
            "milliseconds": budget.milliseconds,
        }
        return limits[objective]


def draw_costs(
    axes: Any,
    costs: Sequence[float],
    accuracies: Sequence[float],
    on_front: Sequence[bool],
    *,
    label: str,
    limit: float | None = None,
) -> None:
    """Draws accuracy against one cost.

    Args:
        axes: Of matplotlib.
        costs: Of each subnet.
        accuracies: Of each, 0 to 1.
        on_front: Whether no other beats it, in whatever objectives there are.
        label: Of the cost.
        limit: The budget's.
    """
    points = list(zip(costs, accuracies, strict=True))
    axes.plot(*zip(*points, strict=True), ".", color=_OTHERS, ms=4, label="scored")
    best = [point for point, chosen in zip(points, on_front, strict=True) if chosen]
    axes.plot(*zip(*best, strict=True), "o", color=_OF_FRONT, ms=5, label="front")
    steps: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not steps or accuracy > steps[-1][1]:
            steps.append((cost, accuracy))
    axes.step(
        *zip(*steps, strict=True), where="post", color="black", lw=1, label="front of these two"
    )
    near = limit is not None and limit < _NEAR * max(costs)
    # Where it is far off an empty line still explains the colour.
    axes.axvline(limit if near else np.nan, color=_BUDGET, label="budget")
    axes.set_xlabel(
        label
        + (f"\nbudget {limit:,.10g}" + ("" if near else ", far off") if limit is not None else "")
    )
    axes.grid(alpha=0.3)


def objective_costs(scored: Sequence[ScoredSubnet], objectives: Sequence[str]) -> np.ndarray:
    """Returns float[subnets, objectives], each the better the less."""
    costs = [subnet.costs(objectives) for subnet in scored]
    return np.asarray(costs, float).reshape(len(scored), len(objectives))


def known_objectives(fit: Fit) -> tuple[str, ...]:
    """Returns what subnets can be compared in: time only where the budget's board tells it."""
    return OBJECTIVES if fit.tells_time else OBJECTIVES[:-1]


def checked_objectives(objectives: Any, fit: Fit) -> tuple[str, ...]:
    """Returns objectives as a tuple.

    Args:
        objectives: Some of ``OBJECTIVES``, ``"accuracy"`` among them.
        fit: What the search holds against a budget.

    Raises:
        ConfigError: If they are others, one is there twice, or time cannot be told.
    """
    found = None if isinstance(objectives, str) else entries(objectives)
    if not found:
        raise ConfigError(f"objectives is {shown(objectives)}; give a tuple such as {OBJECTIVES}.")
    for objective in found:
        checked_choice("objectives", objective, OBJECTIVES)
    if len(set(found)) < len(found) or OBJECTIVE not in found:
        raise ConfigError(
            f"objectives is {shown(objectives)}; each must be there once, and {OBJECTIVE!r} among "
            "them."
        )
    if "milliseconds" in found and not fit.tells_time:
        raise ConfigError(
            "objectives has 'milliseconds', but the budget has no board whose core and clock "
            "would tell them; use Budget.of_board, or leave milliseconds out."
        )
    return tuple(name for name in OBJECTIVES if name in found)
