"""Memory plans: made, written into a model, read back."""

from __future__ import annotations

import dataclasses

import numpy as np

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_seed,
    checked_type,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import BudgetError, ModelError
from mcuformer_tflm.plan.greedy import greedy_offsets
from mcuformer_tflm.plan.liveness import OperatorNeed, find_buffers, operator_needs
from mcuformer_tflm.plan.memory_plan import (
    METADATA_NAME,
    RECORD_NAME,
    MemoryPlan,
    PlannedBuffer,
    read_places,
)
from mcuformer_tflm.plan.placement import Place, place_buffers
from mcuformer_tflm.plan.verifier import verify_plan
from mcuformer_tflm.search.board import Board, all_boards, get_board
from mcuformer_tflm.tflite.file import Model, add_metadata, model_content, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import ModelGraph, check_graph, read_graph

_LARGEST_OPERATORS = 3


def plan_memory(
    model: Model | ModelGraph,
    board: Board | AnyPath | None = None,
    *,
    reserve: int = 0,
    seed: int = 0,
) -> MemoryPlan:
    """Plans the arena of a converted model.

    Lifetimes, scratch and permissions to overwrite come from the graph and the table of
    operators (``operator_memory``); ``place_buffers`` searches the offsets, scratch included.
    Of equal plans the one is taken on which TFLM's own greedy planner, which places scratch
    itself, needs the fewest bytes. The plan is verified by other code (``verify_plan``) before
    it is returned.

    Args:
        model: Path of a ``.tflite``, its bytes, or its graph.
        board: Whose SRAM must hold the plan. Its first region is used alone where that is
            enough; otherwise all of them, and no buffer straddles two.
        reserve: Bytes of the board's first region that are kept free, such as for TFLM's
            persistent data, which lie in the arena behind the plan.
        seed: Of the orders that are tried.

    Raises:
        BudgetError: If the board cannot hold it; names the operators that need most and the
            smallest known board that would do.
        ConfigError: If there is no such board, or ``reserve`` is negative.
        ModelError: If the model is damaged.
        PlanError: If the plan does not hold, which would be an error of this package.
    """
    graph = model if isinstance(model, ModelGraph) else read_graph(model)
    check_graph(graph)
    reserve = checked_whole("reserve", reserve, least=0)
    seed = checked_seed(seed)
    if board is None:
        return _plan(graph, [], seed)
    target = get_board(board)
    capacities = _capacities(target, reserve)
    plan = _plan(graph, [], seed)
    if plan.head_bytes <= capacities[0]:
        return plan
    if plan.lower_bound <= sum(capacities) and len(capacities) > 1:
        plan = _plan(graph, capacities, seed)
        if _fits(plan, capacities):
            return plan
    raise BudgetError(_no_room(graph, plan, target, reserve, seed))


def write_plan(model: Model, plan: MemoryPlan) -> bytes:
    """Returns the model with the plan in its metadata, in TFLM's form and in ours.

    Raises:
        ConfigError: If ``plan`` is no plan.
        ModelError: If the model is damaged.
    """
    checked_type("plan", plan, MemoryPlan)
    content = model_content(model)
    read_graph(content)  # which tells of what is damaged
    editable = unpack(content)
    add_metadata(editable, METADATA_NAME, plan.to_metadata())
    add_metadata(editable, RECORD_NAME, plan.to_record())
    return pack(editable, read_files(content))


def read_plan(graph: ModelGraph) -> MemoryPlan:
    """Returns the plan that a model carries, verified.

    Raises:
        ModelError: If the model carries none, or one of another shape.
        PlanError: If live buffers would overlap, or TFLM's form and ours differ.
    """
    content = graph.metadata.get(METADATA_NAME, b"")
    values = np.frombuffer(content[: len(content) // 4 * 4], "<i4")
    if len(values) != 3 + len(graph.tensors) or tuple(values[:3]) != (1, 0, len(graph.tensors)):
        raise ModelError(
            "The model carries no memory plan of ours (metadata OfflineMemoryAllocation). "
            "Convert it again with mcuformer_tflm.convert."
        )
    if RECORD_NAME not in graph.metadata:
        raise ModelError(
            f"The model carries no memory plan of ours (metadata {RECORD_NAME}). Convert it "
            "again with mcuformer_tflm.convert."
        )
    buffers = find_buffers(graph)
    places = read_places(graph.metadata[RECORD_NAME])
    if [size for size, _, _ in places] != [b.size for b in buffers]:
        raise ModelError(
            f"The memory plan ({RECORD_NAME}) is for another model: it has {len(places)} "
            f"buffers, this model {len(buffers)}, or their sizes differ. Convert it again."
        )
    plan = _assemble(graph, buffers, [(region, offset) for _, offset, region in places])
    if plan.to_metadata() != content:
        raise ModelError(
            f"The model's two memory plans ({METADATA_NAME}, {RECORD_NAME}) differ. Convert it "
            "again with mcuformer_tflm.convert."
        )
    verify_plan(plan, graph)
    return plan


def _plan(graph: ModelGraph, capacities: list[int], seed: int) -> MemoryPlan:
    buffers = find_buffers(graph)
    bound = max(need.total for need in operator_needs(graph, buffers))

    def excess_of_greedy(places: list[Place]) -> int:
        head = max(place[1] + b.size for place, b in zip(places, buffers, strict=True))
        return max(0, _greedy_head(buffers, places) - head)

    places = place_buffers(
        buffers, bound, capacities=capacities, penalty=excess_of_greedy, seed=seed
    )
    plan = _assemble(graph, buffers, places)
    verify_plan(plan, graph)
    return plan


def _assemble(graph: ModelGraph, buffers: list[PlannedBuffer], places: list[Place]) -> MemoryPlan:
    placed = tuple(
        dataclasses.replace(buffer, region=region, offset=offset)
        for buffer, (region, offset) in zip(buffers, places, strict=True)
    )
    bound = max(need.total for need in operator_needs(graph, buffers))
    return MemoryPlan(placed, len(graph.tensors), bound, _greedy_head(buffers, places))


def _greedy_head(buffers: list[PlannedBuffer], places: list[Place]) -> int:
    fixed = [
        None if b.tensor is None or region != 0 else offset
        for b, (region, offset) in zip(buffers, places, strict=True)
    ]
    found = greedy_offsets([(b.size, b.first_operator, b.last_operator) for b in buffers], fixed)
    return max(offset + b.size for b, offset in zip(buffers, found, strict=True))


def _capacities(board: Board, reserve: int) -> list[int]:
    capacities = [region.size for region in board.sram_regions]
    capacities[0] -= reserve
    return [max(0, capacity) for capacity in capacities]


def _fits(plan: MemoryPlan, capacities: list[int]) -> bool:
    return plan.num_regions <= len(capacities) and all(
        plan.region_bytes(region) <= capacities[region] for region in range(plan.num_regions)
    )


def _no_room(graph: ModelGraph, plan: MemoryPlan, board: Board, reserve: int, seed: int) -> str:
    needs = sorted(operator_needs(graph, find_buffers(graph)), key=lambda need: -need.total)
    regions = " + ".join(f"{capacity:,}" for capacity in _capacities(board, reserve))
    listed = "; ".join(_describe(need) for need in needs[:_LARGEST_OPERATORS])
    larger = sorted(
        (other for other in all_boards() if other.sram > board.sram), key=lambda other: other.sram
    )
    smallest = next((b for b in larger if _holds(graph, b, reserve, seed)), None)
    hint = (
        f"The smallest known board that holds it is {smallest.name} ({smallest.sram:,} bytes)."
        if smallest
        else "No known board holds it; describe one of yours in a .toml (docs/own-board.md)."
    )
    return (
        f"{board.name} has {regions} bytes of SRAM for activations, and the model needs at "
        f"least {plan.lower_bound:,} at once. Most is needed by {listed}. {hint}"
    )


def _describe(need: OperatorNeed) -> str:
    parts = " + ".join(f"{name} {size:,}" for name, size in need.buffers)
    return f"{need.operator} ({need.output}): {need.total:,} = {parts}"


def _holds(graph: ModelGraph, board: Board, reserve: int, seed: int) -> bool:
    capacities = _capacities(board, reserve)
    plan = _plan(graph, [], seed)
    if plan.head_bytes <= capacities[0]:
        return True
    return len(capacities) > 1 and _fits(_plan(graph, capacities, seed), capacities)
