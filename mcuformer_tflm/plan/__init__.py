"""Memory plans: where every tensor lies in the arena, proved before it is written.

``plan_memory`` makes one, ``write_plan`` puts it into a model. Names load on first use; modules
below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer
    from mcuformer_tflm.plan.planner import plan_memory, write_plan

_HOMES = {
    "MemoryPlan": "memory_plan",
    "PlannedBuffer": "memory_plan",
    "plan_memory": "planner",
    "write_plan": "planner",
}

__all__ = [
    "MemoryPlan",
    "PlannedBuffer",
    "plan_memory",
    "write_plan",
]

load_on_first_use(__name__, _HOMES)
