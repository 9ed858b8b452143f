"""Memory maps for a terminal: a row an operator, addresses to the right."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from mcuformer_tflm.plan.liveness import operator_needs
from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer
from mcuformer_tflm.tflite.model_graph import ModelGraph

# A character beside each colour, for terminals without colours and for colour-blind eyes; then
# one for terminals without these characters.
_MARKS = {
    "free": ("·", ".", "dim"),
    "tensor": ("█", "#", "blue"),
    "in place": ("▓", "=", "yellow"),
    "scratch": ("░", "-", "bright_black"),
}
_MAX_COLUMNS = 64
# A region's heading is folded no further than this.
_MIN_COLUMNS = 8


def buffer_table(plan: MemoryPlan, graph: ModelGraph) -> Table:
    """Returns the buffers, where they lie and when they live, as a table for ``rich.print``."""
    # As narrow as may be: names of 26 letters leave room for the rest in 80 columns.
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in ("buffer", "offset", "bytes", "operators", "in place of"):
        justify: Literal["left", "right"] = "right" if column in ("offset", "bytes") else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for buffer in plan.buffers:
        source = buffer.overwrites
        table.add_row(
            buffer.name, f"{buffer.offset:,}", f"{buffer.size:,}",
            f"{buffer.first_operator} to {buffer.last_operator}",
            "" if source is None else graph.tensors[source].name,
        )  # fmt: skip
    return table


def plan_map(
    plan: MemoryPlan, graph: ModelGraph, *, width: int = 80, ascii_only: bool = False
) -> Table:
    """Returns the map as a table for ``rich.print``.

    Args:
        plan: What to show.
        graph: The model that it is for.
        width: Columns of the terminal; what operators' names leave is the map's.
        ascii_only: Whether the terminal has no other characters.
    """
    marks = {kind: (plain if ascii_only else mark, style)
             for kind, (mark, plain, style) in _MARKS.items()}  # fmt: skip
    legend = "  ".join(f"{mark} {kind}" for kind, (mark, _) in marks.items())
    table = Table(title=f"Memory over time: {plan.head_bytes:,} bytes of head", caption=legend)
    table.add_column("operator", overflow="fold")
    for region in range(plan.num_regions):
        table.add_column(f"region {region}: 0 to {plan.region_bytes(region):,} bytes")
    table.add_column("live bytes", justify="right", no_wrap=True)
    needs = operator_needs(graph, list(plan.buffers))
    names = max(len(need.output) for need in needs)
    # Each column has two blanks and a line.
    room = width - names - len("live bytes") - 3 * (plan.num_regions + 2) - 1
    columns = _columns(plan, room)
    for step, need in enumerate(needs):
        lines = [
            _line(plan, region, step, columns[region], marks) for region in range(plan.num_regions)
        ]
        full = need.total == plan.lower_bound
        live = Text(f"{need.total:,}", style="bold" if full else "")
        table.add_row(need.output, *lines, live)
    return table


def _columns(plan: MemoryPlan, room: int) -> list[int]:
    # To one scale, the largest region as wide as there is room.
    sizes = [plan.region_bytes(region) for region in range(plan.num_regions)]
    for widest in range(_MAX_COLUMNS, _MIN_COLUMNS - 1, -1):
        columns = [max(1, round(widest * size / max(sizes))) for size in sizes]
        if sum(max(_MIN_COLUMNS, count) for count in columns) <= room:
            break
    return columns


def _line(
    plan: MemoryPlan, region: int, step: int, width: int, marks: dict[str, tuple[str, str]]
) -> Text:
    bytes_per_column = plan.region_bytes(region) / width
    kinds = ["free"] * width
    live = [
        b
        for b in plan.buffers
        if b.region == region and b.first_operator <= step <= b.last_operator
    ]
    # What is overwritten in this step is drawn last, so that it shows.
    for buffer in sorted(live, key=lambda b: _kind(b, step) == "in place"):
        first = int(buffer.offset / bytes_per_column)
        last = max(first, int((buffer.end - 1) / bytes_per_column))
        for column in range(first, min(last + 1, width)):
            kinds[column] = _kind(buffer, step)
    text = Text()
    for kind in kinds:
        text.append(*marks[kind])
    return text


def _kind(buffer: PlannedBuffer, step: int) -> str:
    if buffer.tensor is None:
        return "scratch"
    written_here = buffer.first_operator == step
    return "in place" if buffer.overwrites is not None and written_here else "tensor"
