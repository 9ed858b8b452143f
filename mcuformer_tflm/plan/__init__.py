"""Memory plans: where every tensor lies in the arena, proved before it is written."""

from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer
from mcuformer_tflm.plan.planner import plan_memory, write_plan

__all__ = ["MemoryPlan", "PlannedBuffer", "plan_memory", "write_plan"]
