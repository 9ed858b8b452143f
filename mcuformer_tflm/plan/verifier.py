"""An independent check of memory plans."""

from __future__ import annotations

from mcuformer_tflm.keras_models.exceptions import PlanError
from mcuformer_tflm.plan.memory_plan import ALIGNMENT, MemoryPlan, PlannedBuffer
from mcuformer_tflm.plan.operator_memory import operator_memory
from mcuformer_tflm.tflite.model_graph import ModelGraph


def verify_plan(plan: MemoryPlan, graph: ModelGraph) -> None:
    """Checks a plan against the graph alone, operator by operator.

    Walks through the execution with a map of which buffer owns which bytes: an operator may
    write only bytes that nobody alive owns, except those of the input it declares to
    overwrite, at the same start, when that input is dead afterwards.

    Raises:
        PlanError: If two live buffers share a byte, an offset is negative or no multiple of
            16, or a tensor of the arena has no place.
    """
    places = {b.tensor: b for b in plan.buffers if b.tensor is not None}
    scratch: dict[int, list[PlannedBuffer]] = {}
    for buffer in plan.buffers:
        if buffer.offset < 0 or buffer.offset % ALIGNMENT:
            raise PlanError(
                f"{buffer.name} lies at {buffer.offset}; offsets are multiples of {ALIGNMENT}."
            )
        if buffer.tensor is None:
            scratch.setdefault(buffer.first_operator, []).append(buffer)
    readers = _last_readers(graph)
    alive = {index: _place(places, graph, index) for index in graph.inputs}
    for step, operator in enumerate(graph.operators):
        permitted = operator_memory(graph, operator).overwrites
        for index in operator.outputs:
            place = _place(places, graph, index)
            for other_index, other in alive.items():
                in_place = (
                    other_index == permitted
                    and other.offset == place.offset
                    and readers[other_index] <= step
                )
                if not in_place:
                    _check_apart(place, other, operator.code)
            alive[index] = place
        for number, buffer in enumerate(scratch.get(step, [])):
            for other in [*alive.values(), *scratch[step][:number]]:
                _check_apart(buffer, other, operator.code)
        alive = {index: place for index, place in alive.items() if readers[index] > step}


def _last_readers(graph: ModelGraph) -> dict[int, int]:
    readers: dict[int, int] = {}
    for step, operator in enumerate(graph.operators):
        for index in operator.outputs:
            readers.setdefault(index, step)
        for index in operator.inputs:
            readers[index] = step
    return readers | dict.fromkeys(graph.outputs, len(graph.operators))


def _place(places: dict[int, PlannedBuffer], graph: ModelGraph, index: int) -> PlannedBuffer:
    tensor = graph.tensors[index]
    if index not in places:
        raise PlanError(f"The plan has no place for the tensor {tensor.name}.")
    if places[index].size < tensor.size:
        raise PlanError(f"{tensor.name} needs {tensor.size} bytes, planned {places[index].size}.")
    return places[index]


def _check_apart(one: PlannedBuffer, other: PlannedBuffer, code: str) -> None:
    if one.offset < other.offset + other.size and other.offset < one.offset + one.size:
        raise PlanError(
            f"During {code}, {one.name} [{one.offset}, {one.offset + one.size}) overlaps "
            f"{other.name} [{other.offset}, {other.offset + other.size})."
        )
