"""The arena that TFLM needs on a 32-bit Cortex-M, computed from a run on this machine."""

from __future__ import annotations

from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.runtime.micro_interpreter import ArenaUse
from mcuformer_tflm.tflite.model_graph import ModelGraph

# Sizes of TFLM's structures where pointers have 4 bytes.
_EVAL_TENSOR_BYTES = 12
_NODE_BYTES = 32
_ALLOCATION_INFO_BYTES = 24
# Of the greedy planner, the same everywhere: five int fields and a list entry of three.
_PLANNER_ENTRY_BYTES = 40
# What AllocateTensors takes beside those while it plans; measured here, never exceeded.
_PLANNING_OVERHEAD_BYTES = 288
_SHRINKING = ("TfLiteEvalTensor data", "NodeAndRegistration struct")


def cortex_m_arena_bytes(graph: ModelGraph, plan: MemoryPlan, use: ArenaUse) -> int:
    """Returns the bytes of tensor arena to give the model on a Cortex-M.

    The head is what the plan says, on any machine. Of the tail, TFLM's two tables (a row a
    tensor, a row an operator) shrink to their 32-bit sizes; everything else is counted at its
    64-bit size, so that the result is an upper bound. While TFLM plans, its working memory
    lies where the head will be: the larger of the two counts.

    Args:
        graph: The model's graph.
        plan: Its memory plan.
        use: What TFLM took on this machine.
    """
    tables = sum(use.tail_by_kind[kind][0] for kind in _SHRINKING)
    tail = (
        use.tail
        - tables
        + _EVAL_TENSOR_BYTES * len(graph.tensors)
        + _NODE_BYTES * len(graph.operators)
    )
    scratch = sum(buffer.tensor is None for buffer in plan.buffers)
    planning = (
        _ALLOCATION_INFO_BYTES * (len(graph.tensors) + scratch)
        + _PLANNER_ENTRY_BYTES * len(plan.buffers)
        + _PLANNING_OVERHEAD_BYTES
    )
    total = max(plan.head_bytes, planning) + tail
    return -(-total // 16) * 16
