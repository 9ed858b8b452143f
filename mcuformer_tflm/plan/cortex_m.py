"""The arena that TFLM needs on a 32-bit Cortex-M, computed from a model and its plan."""

from __future__ import annotations

from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.search.cost.tflm_arena import (
    BUILTIN_DATA,
    PLANNERS,
    STATE_BYTES,
    ArenaContent,
    PlannerName,
    tflm_arena,
)
from mcuformer_tflm.tflite.model_graph import ModelGraph


def arena_content(
    graph: ModelGraph, plan: MemoryPlan, *, planner: PlannerName = "mcuformer"
) -> ArenaContent:
    """Returns what a model makes TFLM keep in its arena under one of the two planners.

    Raises:
        ConfigError: If there is no such planner.
    """
    checked_choice("planner", planner, PLANNERS)
    scratch = sum(buffer.tensor is None for buffer in plan.buffers)
    return ArenaContent(
        plan.head_bytes if planner == "mcuformer" else plan.greedy_head_bytes,
        len(graph.tensors),
        tuple(STATE_BYTES.get(operator.code, 0) for operator in graph.operators),
        len(plan.buffers),
        scratch,
        num_outputs=len(graph.outputs),
    )


def cortex_m_arena_bytes(
    graph: ModelGraph, plan: MemoryPlan, *, planner: PlannerName = "mcuformer"
) -> int:
    """Returns the bytes of tensor arena to give the model on a Cortex-M.

    The head is what the plan says, on any machine. TFLM's persistent data and the room that
    it needs while it plans are computed from its structures with 32-bit pointers; the same
    computation with 64-bit pointers equals what TFLM reports on this machine.

    Args:
        graph: The model's graph.
        plan: Its memory plan.
        planner: Which planner the application gives to TFLM.
    """
    return tflm_arena(arena_content(graph, plan, planner=planner), planner=planner).total


def builtin_arena_content(graph: ModelGraph, head: int) -> ArenaContent | None:
    """Returns what a model of builtin operators makes TFLM keep under its own planner.

    Args:
        graph: The model's graph, each constant of an operator used by it alone.
        head: Bytes of tensors and scratch, as measured: they are the same on every machine.

    Returns:
        The content; None where an operator's data is not in ``BUILTIN_DATA``.
    """
    builtin = []
    for operator in graph.operators:
        data = BUILTIN_DATA.get(int(operator.code.split()[-1]) if " " in operator.code else -1)
        if data is None:
            return None
        by_scales = data.per_channel == "by scales"
        kept = (
            graph.tensors[operator.inputs[1]].num_scales > 1
            if by_scales
            else (data.per_channel == "always")
        )
        channels = graph.tensors[operator.outputs[0]].shape[-1]
        builtin.append((data, channels if kept else 0))
    scratch = sum(data.scratch for data, _ in builtin)
    in_arena = sum(not tensor.constant for tensor in graph.tensors)
    return ArenaContent(
        head,
        len(graph.tensors),
        (0,) * len(builtin),
        in_arena + scratch,
        scratch,
        builtin=tuple(builtin),
    )


def builtin_arena_bytes(graph: ModelGraph, head: int) -> int | None:
    """Returns the arena of a model of builtin operators on a Cortex-M, computed.

    TFLM's own planner and its reference kernels: CMSIS-NN's want scratch beside that.

    Args:
        graph: The model's graph.
        head: As ``builtin_arena_content``.

    Returns:
        Bytes; None where an operator's data is not known.
    """
    content = builtin_arena_content(graph, head)
    return None if content is None else tflm_arena(content, planner="tflm").total
