"""Memory maps as pictures."""

from __future__ import annotations

from pathlib import Path

from mcuformer_tflm.plan.memory_plan import MemoryPlan

_COLOURS = {"plain": "#4c78a8", "in place": "#f58518", "scratch": "#b8b8b8"}
_LABEL_SHARE = 0.12
# Buffers that live shorter than this share of the run are labelled sideways.
_UPRIGHT_SHARE = 0.08


def draw_plan(plan: MemoryPlan, path: Path, title: str = "", budget: int | None = None) -> None:
    """Draws buffers over time: operators to the right, addresses upwards.

    Args:
        plan: What to draw.
        path: Where to, ``.png`` or ``.svg``.
        title: Above the picture.
        budget: Bytes of the board's SRAM; drawn as a line when near enough to be of use.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.add_subplot()
    last = max(buffer.last_operator for buffer in plan.buffers)
    for buffer in plan.buffers:
        kind = (
            "scratch"
            if buffer.tensor is None
            else "plain"
            if buffer.overwrites is None
            else "in place"
        )
        start, width = buffer.first_operator, buffer.last_operator - buffer.first_operator + 1
        axes.add_patch(
            Rectangle(
                (start, buffer.offset),
                width,
                buffer.size,
                facecolor=_COLOURS[kind],
                edgecolor="white",
                linewidth=0.6,
            )
        )
        if buffer.size > _LABEL_SHARE * plan.head_bytes:
            axes.text(
                start + width / 2,
                buffer.offset + buffer.size / 2,
                buffer.name,
                ha="center",
                va="center",
                rotation=0 if width > _UPRIGHT_SHARE * last else 90,
                fontsize=6,
                color="white",
                clip_on=True,
            )
    if budget is not None and budget < 3 * plan.head_bytes:
        axes.axhline(budget, color="#e45756", label="SRAM budget")
    axes.set(
        xlim=(-1, last + 1),
        ylim=(0, plan.head_bytes * 1.05),
        xlabel="operator",
        ylabel="address in the arena, bytes",
        title=title or f"Arena head: {plan.head_bytes:,} bytes",
    )
    handles = [Patch(color=colour, label=kind) for kind, colour in _COLOURS.items()]
    axes.legend(handles=handles, loc="upper right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
