"""The arena that TFLM needs on a 32-bit Cortex-M, computed from a model and its plan."""

from __future__ import annotations

from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.search.tflm_arena import STATE_BYTES, ArenaContent, PlannerName, tflm_arena
from mcuformer_tflm.tflite.model_graph import ModelGraph


def arena_content(
    graph: ModelGraph, plan: MemoryPlan, planner: PlannerName = "mcuformer"
) -> ArenaContent:
    """Returns what a model makes TFLM keep in its arena under one of the two planners."""
    scratch = sum(buffer.tensor is None for buffer in plan.buffers)
    return ArenaContent(
        plan.head_bytes if planner == "mcuformer" else plan.greedy_head_bytes,
        len(graph.tensors),
        tuple(STATE_BYTES.get(operator.code, 0) for operator in graph.operators),
        len(plan.buffers),
        scratch,
    )


def cortex_m_arena_bytes(
    graph: ModelGraph, plan: MemoryPlan, planner: PlannerName = "mcuformer"
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
    return tflm_arena(arena_content(graph, plan, planner), planner=planner).total
