"""Memory maps for a terminal: a row an operator, addresses to the right."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from mcuformer_tflm.plan.liveness import operator_needs
from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer
from mcuformer_tflm.tflite.model_graph import ModelGraph

# A character beside each colour, for terminals without colours and for colour-blind eyes.
_MARKS = {
    "free": ("·", "dim"),
    "tensor": ("█", "blue"),
    "in place": ("▓", "yellow"),
    "scratch": ("░", "bright_black"),
}


def plan_map(plan: MemoryPlan, graph: ModelGraph, *, columns: int = 64) -> Table:
    """Returns the map as a table for ``rich.print``.

    Args:
        plan: What to show.
        graph: The model that it is for.
        columns: Characters from the first to the last byte of the largest region.
    """
    legend = "  ".join(f"{mark} {kind}" for kind, (mark, _) in _MARKS.items())
    table = Table(title=f"Memory over time: {plan.head_bytes:,} bytes of head", caption=legend)
    table.add_column("operator")
    for region in range(plan.num_regions):
        size = plan.region_bytes(region)
        table.add_column(f"region {region}: 0 to {size:,} bytes", no_wrap=True)
    table.add_column("live bytes", justify="right")
    largest = max(plan.region_bytes(region) for region in range(plan.num_regions))
    needs = operator_needs(graph, list(plan.buffers))
    for step, need in enumerate(needs):
        lines = [_line(plan, region, step, largest / columns) for region in range(plan.num_regions)]
        full = need.total == plan.lower_bound
        live = Text(f"{need.total:,}", style="bold" if full else "")
        table.add_row(need.output, *lines, live)
    return table


def _line(plan: MemoryPlan, region: int, step: int, bytes_per_column: float) -> Text:
    width = max(1, round(plan.region_bytes(region) / bytes_per_column))
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
        text.append(*_MARKS[kind])
    return text


def _kind(buffer: PlannedBuffer, step: int) -> str:
    if buffer.tensor is None:
        return "scratch"
    written_here = buffer.first_operator == step
    return "in place" if buffer.overwrites is not None and written_here else "tensor"
