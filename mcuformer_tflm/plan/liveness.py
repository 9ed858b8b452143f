"""Which buffers are alive when, and how many bytes that takes at the least."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.plan.memory_plan import ALIGNMENT, PlannedBuffer
from mcuformer_tflm.plan.operator_memory import operator_memory
from mcuformer_tflm.tflite.model_graph import ModelGraph


@dataclasses.dataclass(frozen=True)
class OperatorNeed:
    """Bytes that one operator needs at once.

    Attributes:
        operator: Its custom code.
        output: Name of the tensor that it writes.
        total: Sum of the live buffers, an overwritten input and its output counted once.
        buffers: (name, bytes) of each that counts, largest first.
    """

    operator: str
    output: str
    total: int
    buffers: tuple[tuple[str, int], ...]


def find_buffers(graph: ModelGraph) -> list[PlannedBuffer]:
    """Returns all buffers of the arena, at offset 0 still: tensors, then scratch."""
    first = dict.fromkeys(graph.inputs, -1)
    last = dict.fromkeys(graph.outputs, len(graph.operators) - 1)
    permissions = {}
    scratch = []
    for step, operator in enumerate(graph.operators):
        memory = operator_memory(graph, operator)
        for index in operator.outputs:
            first[index] = step
            last.setdefault(index, step)
        for index in operator.inputs:
            if index >= 0:
                last[index] = max(last.get(index, -1), step)
        if memory.in_place is not None:
            permissions[operator.outputs[0]] = memory.in_place
        name = graph.tensors[operator.outputs[0]].name
        for number, size in enumerate(memory.scratch):
            label = f"{name}/scratch" if len(memory.scratch) == 1 else f"{name}/scratch_{number}"
            scratch.append(PlannedBuffer(label, 0, _aligned(size), step, step, None))
    buffers = []
    for index, tensor in enumerate(graph.tensors):
        if tensor.constant or index not in first:
            continue
        source, order = None, None
        permission = permissions.get(index)
        # A value that is read again later, an output, or a constant, must not be overwritten.
        if (
            permission is not None
            and permission.tensor not in graph.outputs
            and last[permission.tensor] == first[index]
            and not graph.tensors[permission.tensor].constant
        ):
            source, order = permission.tensor, permission.walk.order
        buffers.append(
            PlannedBuffer(
                tensor.name, 0, _aligned(tensor.size), first[index], last[index], index,
                overwrites=source, walk=order,
            )
        )  # fmt: skip
    return buffers + scratch


def operator_needs(graph: ModelGraph, buffers: list[PlannedBuffer]) -> list[OperatorNeed]:
    """Returns what each operator needs, in execution order.

    The largest total is a lower bound of every plan's size: those bytes are alive at once.

    Args:
        graph: The model.
        buffers: From ``find_buffers``.
    """
    needs = []
    for step, operator in enumerate(graph.operators):
        live = sorted(_live_places(buffers, step), key=lambda b: -b.size)
        needs.append(
            OperatorNeed(
                operator.code,
                graph.tensors[operator.outputs[0]].name,
                sum(b.size for b in live),
                tuple((b.name, b.size) for b in live),
            )
        )
    return needs


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


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
