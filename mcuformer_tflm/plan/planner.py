"""Placement of tensors in the arena."""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.plan.greedy import greedy_offsets
from mcuformer_tflm.plan.memory_plan import (
    ALIGNMENT,
    METADATA_NAME,
    MemoryPlan,
    PlannedBuffer,
)
from mcuformer_tflm.plan.operator_memory import operator_memory
from mcuformer_tflm.plan.verifier import verify_plan
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

_ATTEMPTS = 64


def plan_memory(model: bytes | ModelGraph, seed: int = 0) -> MemoryPlan:
    """Plans the arena of a converted model.

    Algorithm:
      - A tensor that an operator writes over its input starts where that input starts. Such
        chains move as one; their members keep their own sizes and lifetimes.
      - Chains are placed largest first, each at the lowest offset at which none of its
        members meets a live neighbour. Other orders are tried while the result lies above
        the lower bound, and the smallest plan wins.
      - Scratch is not part of the file: TFLM's greedy planner fits it around the tensors, and
        the plan says where it will put it.
      - The plan is verified (``verify_plan``) before it is returned.

    Args:
        model: Bytes of a ``.tflite``, or its graph.
        seed: Of the orders that are tried.

    Raises:
        ModelError: If the model is damaged.
        PlanError: If the plan does not hold, which would be an error of this package.
    """
    graph = read_graph(model) if isinstance(model, bytes) else model
    buffers = lifetimes(graph)
    bound = _bound(graph, buffers)
    chains = _chains(buffers)
    order = sorted(range(len(chains)), key=lambda i: -max(b.size for b in chains[i]))
    shuffle = random.Random(seed)
    best: MemoryPlan | None = None
    for _ in range(_ATTEMPTS):
        placed = _place([chains[i] for i in order])
        plan = MemoryPlan(_with_scratch(buffers, placed), len(graph.tensors), bound)
        if best is None or plan.head_bytes < best.head_bytes:
            best = plan
        if best.head_bytes <= bound:
            break
        first, second = shuffle.randrange(len(order)), shuffle.randrange(len(order))
        order[first], order[second] = order[second], order[first]
    assert best is not None
    verify_plan(best, graph)
    return best


def write_plan(content: bytes, plan: MemoryPlan) -> bytes:
    """Returns the model with the plan in its metadata."""
    model = unpack(content)
    add_metadata(model, METADATA_NAME, plan.to_metadata())
    return pack(model, read_files(content))


def read_plan(graph: ModelGraph) -> MemoryPlan:
    """Returns the plan that a model carries, verified.

    Raises:
        ModelError: If the model carries none, or one of another shape.
        PlanError: If live buffers would overlap.
    """
    content = graph.metadata.get(METADATA_NAME, b"")
    values = np.frombuffer(content[: len(content) // 4 * 4], "<i4")
    if len(values) != 3 + len(graph.tensors) or tuple(values[:3]) != (1, 0, len(graph.tensors)):
        raise ModelError(
            "The model carries no memory plan of ours (metadata OfflineMemoryAllocation). "
            "Convert it again with mcuformer_tflm.convert."
        )
    buffers = lifetimes(graph)
    offsets = {b.tensor: int(values[3 + b.tensor]) for b in buffers if b.tensor is not None}
    plan = MemoryPlan(_with_scratch(buffers, offsets), len(graph.tensors), _bound(graph, buffers))
    verify_plan(plan, graph)
    return plan


def lifetimes(graph: ModelGraph) -> list[PlannedBuffer]:
    """Returns all buffers of the arena, at offset 0 still."""
    first = dict.fromkeys(graph.inputs, -1)
    last = dict.fromkeys(graph.outputs, len(graph.operators) - 1)
    overwrites: dict[int, int] = {}
    scratch = []
    for step, operator in enumerate(graph.operators):
        memory = operator_memory(graph, operator)
        for index in operator.outputs:
            first[index] = step
            last.setdefault(index, step)
        for index in operator.inputs:
            if index >= 0:
                last[index] = max(last.get(index, -1), step)
        if memory.overwrites is not None:
            overwrites[operator.outputs[0]] = memory.overwrites
        name = graph.tensors[operator.outputs[0]].name
        for size in memory.scratch:
            scratch.append(PlannedBuffer(f"{name}/scratch", 0, _aligned(size), step, step, None))
    buffers = []
    for index, tensor in enumerate(graph.tensors):
        if tensor.constant or index not in first:
            continue
        source = overwrites.get(index)
        # A value that is read again later, or a constant, must not be overwritten.
        if source is not None and (last[source] > first[index] or graph.tensors[source].constant):
            source = None
        buffers.append(
            PlannedBuffer(
                tensor.name, 0, _aligned(tensor.size), first[index], last[index], index, source
            )
        )
    return buffers + scratch


def _bound(graph: ModelGraph, buffers: list[PlannedBuffer]) -> int:
    steps = range(len(graph.operators))
    return max(sum(b.size for b in _live_places(buffers, step)) for step in steps)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _live_places(buffers: list[PlannedBuffer], step: int) -> list[PlannedBuffer]:
    live = [b for b in buffers if max(b.first_operator, 0) <= step <= b.last_operator]
    by_tensor = {b.tensor: b for b in live if b.tensor is not None}
    # Where an output takes its input's place, only the larger of the two counts.
    shadowed = set()
    for buffer in live:
        if buffer.overwrites in by_tensor and buffer.first_operator == step:
            source = by_tensor[buffer.overwrites]
            shadowed.add(id(source if source.size <= buffer.size else buffer))
    return [buffer for buffer in live if id(buffer) not in shadowed]


def _chains(buffers: list[PlannedBuffer]) -> list[list[PlannedBuffer]]:
    chains: list[list[PlannedBuffer]] = []
    chain_of: dict[int, list[PlannedBuffer]] = {}
    # Written earlier first, so that a source's chain exists before its overwriter's.
    for buffer in sorted(buffers, key=lambda b: b.first_operator):
        if buffer.tensor is None:
            chains.append([buffer])
            continue
        if buffer.overwrites is None:
            chains.append([])
            chain_of[buffer.tensor] = chains[-1]
        else:
            chain_of[buffer.tensor] = chain_of[buffer.overwrites]
        chain_of[buffer.tensor].append(buffer)
    return chains


def _place(chains: list[list[PlannedBuffer]]) -> dict[int, int]:
    placed: list[tuple[int, PlannedBuffer]] = []
    offsets: dict[int, int] = {}
    for chain in chains:
        candidates = sorted({0, *(offset + b.size for offset, b in placed)})
        offset = next(c for c in candidates if not _meets(c, chain, placed))
        for buffer in chain:
            placed.append((offset, buffer))
            if buffer.tensor is not None:
                offsets[buffer.tensor] = offset
    return offsets


def _meets(
    offset: int, chain: list[PlannedBuffer], placed: list[tuple[int, PlannedBuffer]]
) -> bool:
    return any(
        buffer.first_operator <= other.last_operator
        and other.first_operator <= buffer.last_operator
        and offset < other_offset + other.size
        and other_offset < offset + buffer.size
        for buffer in chain
        for other_offset, other in placed
    )


def _with_scratch(
    buffers: list[PlannedBuffer], offsets: dict[int, int]
) -> tuple[PlannedBuffer, ...]:
    fixed = [None if b.tensor is None else offsets[b.tensor] for b in buffers]
    found = greedy_offsets([(b.size, b.first_operator, b.last_operator) for b in buffers], fixed)
    return tuple(
        dataclasses.replace(buffer, offset=offset)
        for buffer, offset in zip(buffers, found, strict=True)
    )
