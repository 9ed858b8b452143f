"""Whether a model's firmware fits a board, and which constants go to external flash.

The linker has the last word; this is asked before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.plan.cost import bytes_read, constant_tensors, stored_constants
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.planner import plan_memory, read_plan
from mcuformer_tflm.search.board import Board, all_boards
from mcuformer_tflm.search.cost.flash_reads import code_reserve, external_indices, stored_bytes
from mcuformer_tflm.tflite.model_graph import ModelGraph

# Kept free of RAM for stack, guards and variables, as ``code_reserve`` is of flash for the program.
# The build says what they really take; a test holds it below.
STACK_BYTES = 4096
RAM_RESERVE = STACK_BYTES + 4096
# Around the arena, where it has a region of SRAM to itself.
_GUARDS = 1024


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a model lies on a board.

    Attributes:
        plan: The memory plan of its arena.
        external: Constants, by tensor, in external flash.
        internal_bytes: Bytes of constants in internal flash.
        external_bytes: Bytes of constants in external flash.
        external_bytes_read: Bytes that an inference reads of them, estimated (``plan.cost``).
    """

    plan: MemoryPlan
    external: frozenset[int]
    internal_bytes: int
    external_bytes: int
    external_bytes_read: int

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena, all regions of SRAM together."""
        return sum(self.plan.region_bytes(region) for region in range(self.plan.num_regions))


def place_model(graph: ModelGraph, board: Board) -> Placement:
    """Places a model on a board.

    The plan that the model carries is used where the board's first region of SRAM holds it;
    otherwise the arena is planned anew over all regions. Constants go to internal flash, as far as
    it reaches: those first that are read most often (``times_read``), of equal ones the smallest.

    Raises:
        BudgetError: If the board cannot hold the model: says what is over and by how much, and
            which boards would do.
        ModelError: If the model carries no plan of ours.
        PlanError: If its plan would let live buffers overlap.
    """
    plan, over_ram = _plan(graph, board)
    external, over_flash = spread_constants(graph, board)
    if over_ram or over_flash:
        able = [
            other.name
            for other in all_boards()
            if not _plan(graph, other)[1] and not spread_constants(graph, other)[1]
        ]
        hint = (
            f"It fits {' and '.join(able)}."
            if able
            else "It fits no known board; make the model smaller, or describe a board of yours "
            "in a .toml (docs/own-board.md)."
        )
        problems = " ".join(filter(None, (over_ram, over_flash)))
        raise BudgetError(f"The model does not fit {board.name}. {problems} {hint}")
    sizes = _sizes(graph)
    outside = sum(sizes[i] for i in external)
    read = estimated_bytes_read(graph, external)
    return Placement(plan, external, sum(sizes.values()) - outside, outside, read)


def estimated_bytes_read(graph: ModelGraph, external: Collection[int]) -> int:
    """Returns the bytes that an inference reads of constants, by tensor: an estimate."""
    read = bytes_read(graph)
    return sum(read[index] for index in external)


def _plan(graph: ModelGraph, board: Board) -> tuple[MemoryPlan, str]:
    plan = read_plan(graph)
    usable = [region.size for region in board.sram_regions]
    usable[0] -= _GUARDS
    usable[-1] -= RAM_RESERVE - (_GUARDS if len(usable) == 1 else 0)
    if usable[-1] < 0:
        region = board.sram_regions[-1]
        return plan, (
            f"SRAM: stack and variables lie in the last region, {region.name}; it has "
            f"{region.size:,} bytes, and {RAM_RESERVE:,} are kept for them."
        )
    if plan.num_regions == 1 and plan.head_bytes <= usable[0]:
        return plan, ""
    try:
        free = tuple(
            dataclasses.replace(region, size=max(1, size))
            for region, size in zip(board.sram_regions, usable, strict=True)
        )
        return plan_memory(graph, dataclasses.replace(board, sram_regions=free)), ""
    except BudgetError:
        over = plan.lower_bound - sum(r.size for r in board.sram_regions) + RAM_RESERVE
        least = f"at least {over:,} bytes over" if over > 0 else "no division over them holds it"
        regions = " + ".join(f"{region.size:,}" for region in board.sram_regions)
        return plan, (
            f"SRAM: {plan.lower_bound:,} bytes are alive at once, {RAM_RESERVE:,} are kept for "
            f"the stack, and the board has {regions}: {least}."
        )


def spread_constants(graph: ModelGraph, board: Board) -> tuple[frozenset[int], str]:
    """Divides a model's constants among a board's two flashes.

    Returns:
        Those, by tensor, that go to external flash, and what is over, or an empty text.
    """
    sizes, tensors = _sizes(graph), constant_tensors(graph)
    code = code_reserve(len(graph.operators))
    chosen = external_indices(stored_constants(graph), board.flash - code)
    external = frozenset(tensors[position] for position in chosen)
    outside = sum(sizes[i] for i in external)
    if outside <= board.external_flash:
        return external, ""
    total = sum(sizes.values()) + code
    return external, (
        f"Flash: {total:,} bytes ({sum(sizes.values()):,} of constants, {code:,} kept "
        f"for the program) of {board.flash_budget:,}: {total - board.flash_budget:,} bytes over."
    )


def _sizes(graph: ModelGraph) -> dict[int, int]:
    return {index: stored_bytes(graph.tensors[index].size) for index in constant_tensors(graph)}
