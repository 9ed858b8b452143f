"""An independent check of memory plans.

Shares with the planner the table of what operators permit (``operator_memory``) and nothing
else: lifetimes are found again, by walking through the execution.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer_tflm.keras_models.exceptions import PlanError
from mcuformer_tflm.plan.memory_plan import ALIGNMENT, MemoryPlan, PlannedBuffer
from mcuformer_tflm.plan.operator_memory import InPlace, OperatorMemory, operator_memory
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


def verify_plan(plan: MemoryPlan, graph: ModelGraph, *, capacities: Sequence[int] = ()) -> None:
    """Checks a plan against the graph alone, operator by operator.

    Walks through the execution with a map of which buffer owns which bytes: an operator may
    write only bytes that nobody alive owns, except those of the input that it declares to
    overwrite, from the same start, when that input is dead afterwards and when going over it
    in the planned order never overwrites a byte before it was read.

    Args:
        plan: What to check.
        graph: The model that it is for.
        capacities: Bytes of each region of memory, where they are known.

    Raises:
        PlanError: If two live buffers share a byte, an offset is negative or no multiple of
            16, a buffer leaves its region, a tensor or scratch of the arena has no place or
            too small a place, a walking order is wrong, or the plan is one for another graph.
    """
    _check_shape(plan, graph, capacities)
    places = {b.tensor: b for b in plan.buffers if b.tensor is not None}
    scratch = iter([b for b in plan.buffers if b.tensor is None])
    readers = _last_readers(graph)
    alive = {index: _place(places, graph, index) for index in graph.inputs}
    _check_all_apart(list(alive.values()), "the model's inputs")
    for step, operator in enumerate(graph.operators):
        memory = operator_memory(graph, operator)
        for index in operator.outputs:
            place = _place(places, graph, index)
            for other_index, other in alive.items():
                if not _overlap(place, other):
                    continue
                permission = memory.in_place if index == operator.outputs[0] else None
                if permission is None or permission.tensor != other_index:
                    raise _overlapping(place, other, operator.code)
                if readers[other_index] > step:
                    raise PlanError(
                        f"During {operator.code}, {place.name} overlaps {other.name}, which is "
                        "read again later."
                    )
                _check_walk(place, other, permission, graph, operator.code)
            alive[index] = place
        own = _take_scratch(scratch, memory, operator, graph, step)
        _check_all_apart(own, operator.code)
        for buffer in own:
            for other in alive.values():
                if _overlap(buffer, other):
                    raise _overlapping(buffer, other, operator.code)
        alive = {index: place for index, place in alive.items() if readers[index] > step}
    left = next(scratch, None)
    if left is not None:
        raise PlanError(f"No operator asks for {left.name}; the plan is for another model.")


def _check_shape(plan: MemoryPlan, graph: ModelGraph, capacities: Sequence[int]) -> None:
    if plan.num_tensors != len(graph.tensors):
        raise PlanError(
            f"The plan is for a model of {plan.num_tensors} tensors; this one has "
            f"{len(graph.tensors)}."
        )
    for buffer in plan.buffers:
        if buffer.offset < 0 or buffer.offset % ALIGNMENT:
            raise PlanError(
                f"{buffer.name} lies at {buffer.offset}; offsets are multiples of {ALIGNMENT}."
            )
        if capacities and not 0 <= buffer.region < len(capacities):
            raise PlanError(f"{buffer.name} lies in region {buffer.region} of {len(capacities)}.")
        if capacities and buffer.end > capacities[buffer.region]:
            raise PlanError(
                f"{buffer.name} ends at {buffer.end}; region {buffer.region} has "
                f"{capacities[buffer.region]} bytes."
            )


def _check_walk(
    place: PlannedBuffer, source: PlannedBuffer, permission: InPlace, graph: ModelGraph, code: str
) -> None:
    walk = permission.walk
    if place.offset != source.offset:
        raise PlanError(
            f"During {code}, {place.name} at {place.offset} overlaps {source.name} at "
            f"{source.offset}; it may take its place only from the same start."
        )
    if place.walk != walk.order:
        raise PlanError(
            f"{code} goes over {source.name} {walk.order}; the plan of {place.name} says "
            f"{place.walk}."
        )
    size = graph.tensors[permission.tensor].size
    written = walk.last + walk.steps * walk.written
    if place.tensor is not None and written < graph.tensors[place.tensor].size:
        raise PlanError(f"{code} says that it writes less than all of {place.name}.")
    order = range(walk.steps) if walk.order == "ascending" else reversed(range(walk.steps))
    # Bytes of the input that later steps still read: [low, high).
    low, high = 0, size
    for step in order:
        if walk.order == "ascending":
            low = (step + 1) * walk.read - walk.lead
        else:
            high = step * walk.read - walk.lead
        start = walk.last + step * walk.written
        if max(low, start) < min(high, start + walk.written):
            raise PlanError(
                f"{code} goes over {source.name} {walk.order}, and in step {step} "
                f"{place.name} overwrites bytes that were not read yet."
            )


def _take_scratch(
    scratch: object, memory: OperatorMemory, operator: Operator, graph: ModelGraph, step: int
) -> list[PlannedBuffer]:
    own = []
    for size in memory.scratch:
        buffer: PlannedBuffer | None = next(scratch, None)  # type: ignore[call-overload]
        if buffer is None or buffer.first_operator != step or buffer.size < size:
            name = graph.tensors[operator.outputs[0]].name
            raise PlanError(f"{operator.code} ({name}) has no {size} bytes of scratch.")
        own.append(buffer)
    return own


def _last_readers(graph: ModelGraph) -> dict[int, int]:
    readers: dict[int, int] = {index: -1 for index in graph.inputs}
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


def _check_all_apart(buffers: list[PlannedBuffer], code: str) -> None:
    for number, buffer in enumerate(buffers):
        for other in buffers[:number]:
            if _overlap(buffer, other):
                raise _overlapping(buffer, other, code)


def _overlap(one: PlannedBuffer, other: PlannedBuffer) -> bool:
    return one.region == other.region and one.offset < other.end and other.offset < one.end


def _overlapping(one: PlannedBuffer, other: PlannedBuffer, code: str) -> PlanError:
    return PlanError(
        f"During {code}, {one.name} [{one.offset}, {one.end}) overlaps {other.name} "
        f"[{other.offset}, {other.end})."
    )
