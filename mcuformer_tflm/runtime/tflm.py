"""TFLM of the tflite-micro wheel with our operators registered."""

from __future__ import annotations

from typing import Any

from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import ModelError, RuntimeVersionError
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime import library
from mcuformer_tflm.runtime.arena_interpreter import ArenaInterpreter, allocate
from mcuformer_tflm.search.cost.tflm_arena import PLANNERS, PlannerName
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph


def open_interpreter(model: bytes, arena_size: int) -> Any:
    """Returns tflite-micro's Python interpreter, tensors allocated.

    Raises:
        RuntimeVersionError: If our operators cannot be registered with the installed TFLM.
        RuntimeError: If TFLM refuses the model or the arena is too small.
    """
    library.load()
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(
            model, custom_op_registerers=[library.REGISTERER], arena_size=arena_size
        )
    except RuntimeError as error:
        if library.REGISTERER in str(error):
            raise RuntimeVersionError(
                f"Our operators cannot be registered with the installed TFLM: "
                f"{library.probe_error()}. Reinstall the supported wheel: "
                f"`pip install --force-reinstall tflite-micro=={library.SUPPORTED_TFLM}`."
            ) from error
        raise


def open_planned(
    model: bytes,
    arena_size: int,
    planner: PlannerName,
    *,
    graph: ModelGraph | None = None,
    plan: MemoryPlan | None = None,
) -> Any:
    """Returns an interpreter of a converted model, tensors allocated, with one of two planners.

    Args:
        model: Bytes of a model that carries a memory plan.
        arena_size: Bytes of TFLM's arena. Further regions of the plan come beside it.
        planner: ``mcuformer``: our C++ planner, which checks the plan and follows it.
            ``tflm``: TFLM's own greedy planner, which follows the plan's tensors unchecked.
        graph: The model's, where it has been read already.
        plan: The one that the model carries, where it has been read already.

    Raises:
        ConfigError: If there is no such planner.
        ModelError: If our planner refuses the plan, or TFLM the model.
        RuntimeVersionError: If our operators cannot be registered with the installed TFLM.
    """
    checked_choice("planner", planner, PLANNERS)
    if planner == "mcuformer":
        graph = read_graph(model) if graph is None else graph
        plan = read_plan(graph) if plan is None else plan
        others = [plan.region_bytes(region) for region in range(1, plan.num_regions)]
        return ArenaInterpreter(model, *allocate(arena_size, *others), graph=graph)
    try:
        return open_interpreter(model, arena_size)
    except RuntimeError as error:
        raise ModelError(
            f"TFLM refused the model with an arena of {arena_size} bytes ({error})."
        ) from error
