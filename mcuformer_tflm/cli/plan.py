"""The command ``mcuformer plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcuformer_tflm.cli.options import Board, JsonFile, Model
from mcuformer_tflm.cli.outputs import Figures, check_picture

if TYPE_CHECKING:
    from mcuformer_tflm.plan.memory_plan import PlannedBuffer


def plan(
    model: Model,
    board: Board = "stm32f746",
    picture: Annotated[
        Path | None, typer.Option(help="Draw the memory map to this .png or .svg.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show where each buffer of a model lies in the arena, what it costs, and whether it fits.

    Example: `mcuformer plan build/demo/model.tflite --board stm32f427 --picture map.svg`
    """
    from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
    from mcuformer_tflm.plan.cost import estimate_graph_cost
    from mcuformer_tflm.plan.picture import draw_plan
    from mcuformer_tflm.plan.planner import plan_memory, read_plan
    from mcuformer_tflm.plan.schedule import describe_schedule
    from mcuformer_tflm.plan.terminal import buffer_table, plan_map
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
    from mcuformer_tflm.search.board import get_board

    figures = Figures(json_file)
    target = get_board(board)
    check_picture(picture)
    graph = read_our_graph(model)
    memory_map = read_plan(graph)
    console = figures.console
    console.print(f"{model}: {memory_map.head_bytes:,} bytes of head in the arena", soft_wrap=True)
    console.print(buffer_table(memory_map, graph))
    console.print(describe_schedule(graph))
    console.print(
        plan_map(memory_map, graph, width=console.width, ascii_only=console.options.ascii_only)
    )
    arena = cortex_m_arena_bytes(graph, memory_map)
    console.print(
        f"Lower bound of the head: {memory_map.lower_bound:,} bytes, {memory_map.gap_percent:.2f} "
        f"% below the plan. Arena in TFLM, Cortex-M (computed): {arena:,} bytes; under TFLM's own "
        f"planner {cortex_m_arena_bytes(graph, memory_map, planner='tflm'):,}."
    )
    estimate = estimate_graph_cost(graph, target)
    if estimate is not None:
        console.print(f"One inference on {target.name}: {estimate.text}.")
    if picture is not None:
        draw_plan(memory_map, picture, title=str(model), budget=target.arena_budget)
        console.print(f"Memory map drawn to {picture}", soft_wrap=True)
    figures.tell(
        {
            "board": target.name,
            "head_bytes": memory_map.head_bytes,
            "head_lower_bound_bytes": memory_map.lower_bound,
            "arena_bytes": arena,
            "sram_bytes": target.sram,
            "instructions_estimated": estimate and estimate.instructions,
            "milliseconds_estimated": estimate and estimate.milliseconds,
            "buffers": [_told(buffer) for buffer in memory_map.buffers],
        }
    )
    # Told last, since an error ends the command: the operators that need most, a larger board.
    tail = arena - memory_map.head_bytes
    on_board = plan_memory(graph, target, reserve=tail)
    regions = "its first region" if on_board.num_regions == 1 else "a plan over its regions"
    console.print(f"It fits {target.name} ({target.sram:,} bytes of SRAM) in {regions}.")


def _told(buffer: PlannedBuffer) -> dict[str, Any]:
    fields = ("name", "region", "offset", "size", "first_operator", "last_operator")
    return {field: getattr(buffer, field) for field in fields}
