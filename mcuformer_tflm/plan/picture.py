"""Memory maps as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.plan.memory_plan import MemoryPlan, PlannedBuffer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"tensor": "#4c78a8", "overwrites its input": "#f58518", "scratch": "#b8b8b8"}
_BUDGET, _BOUND = "#e45756", "#54a24b"
_LABEL_SHARE = 0.12
# Width of a letter, in inches.
_LETTER = 0.052
# A budget further above the plan than this would flatten the picture.
_NEAR = 3
# Inches, in which a legend of five in a line would be cut off.
_NARROW = 8


def draw_plan(
    plan: MemoryPlan, path: AnyPath, *, title: str = "", budget: int | None = None
) -> None:
    """Draws ``plan_figure`` to a file.

    Args:
        plan: What to draw.
        path: Where to, ``.png`` or ``.svg``.
        title: Above the picture.
        budget: Bytes of the board's SRAM.
    """
    save_picture(plan_figure(plan, title=title, budget=budget), checked_path("path", path))


def plan_figure(
    plan: MemoryPlan,
    *,
    title: str = "",
    budget: int | None = None,
    size: tuple[float, float] = (11, 6),
) -> Figure:
    """Draws buffers over time: operators to the right, addresses upwards.

    An output that overwrites its input has the colour and a hatched edge at the operator that
    writes it. Lines mark the lower bound and, where it is near enough, the budget, which TFLM's
    tail must fit too. A plan over several regions has a picture for each, one above the other.

    Args:
        plan: What to draw.
        title: Above the picture.
        budget: Bytes of the board's SRAM.
        size: Width, and height of each region, in inches.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    width, height = size
    figure = Figure(figsize=(width, height * plan.num_regions), layout="constrained")
    handles: list[Any] = [Patch(color=colour, label=kind) for kind, colour in _COLOURS.items()]
    for region in range(plan.num_regions):
        axes = figure.add_subplot(plan.num_regions, 1, region + 1)
        _draw_region(axes, plan, region, (0.85 * width, 0.75 * height))
        top = size_of_region = plan.region_bytes(region)
        if region == 0 and plan.num_regions == 1:
            label = f"lower bound, {plan.lower_bound:,}"
            handles.append(axes.axhline(plan.lower_bound, color=_BOUND, ls="--", label=label))
        if region == 0 and budget is not None and budget < _NEAR * top:
            handles.append(
                axes.axhline(budget, color=_BUDGET, label=f"budget of the whole arena, {budget:,}")
            )
            top = max(top, budget)
        # Behind the head lies TFLM's tail, which no plan places: the arena is larger.
        name = "head of the arena" if region == 0 else f"region {region}"
        axes.set(
            xlim=(-1, 1 + max(b.last_operator for b in plan.buffers)),
            ylim=(0, top * 1.05),
            xlabel="operator",
            ylabel=f"address in the {name}, bytes",
            title=": ".join(filter(None, (title, f"{name}, {size_of_region:,} bytes"))),
        )
    columns = 5 if width > _NARROW else 2
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=columns)
    return figure


def _draw_region(axes: Any, plan: MemoryPlan, region: int, inches: tuple[float, float]) -> None:
    # Inches that the axes have, about.
    from matplotlib.patches import Rectangle

    last = max(buffer.last_operator for buffer in plan.buffers)
    for buffer in plan.buffers:
        if buffer.region != region:
            continue
        start, width = buffer.first_operator, buffer.last_operator - buffer.first_operator + 1
        axes.add_patch(
            Rectangle((start, buffer.offset), width, buffer.size, facecolor=_colour(buffer),
                      edgecolor="white", linewidth=0.6)
        )  # fmt: skip
        if buffer.overwrites is not None:
            axes.add_patch(
                Rectangle((start, buffer.offset), 0.25, buffer.size, facecolor="none",
                          edgecolor="white", hatch="////", linewidth=0)
            )  # fmt: skip
        across = width / last * inches[0]
        upwards = buffer.size / plan.region_bytes(region) * inches[1]
        if buffer.size > _LABEL_SHARE * plan.region_bytes(region):
            length = _LETTER * len(buffer.name)
            upright = length <= across
            # What is written over its neighbours cannot be read.
            if upright or (length <= upwards and across > 2 * _LETTER):
                axes.text(
                    start + width / 2, buffer.offset + buffer.size / 2, buffer.name,
                    ha="center", va="center", fontsize=6, color="white", clip_on=True,
                    rotation=0 if upright else 90,
                )  # fmt: skip


def _colour(buffer: PlannedBuffer) -> str:
    if buffer.tensor is None:
        return _COLOURS["scratch"]
    return _COLOURS["tensor" if buffer.overwrites is None else "overwrites its input"]
