"""The figures of a page, each no wider than a phone; None where a run has nothing for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mcuformer_tflm.keras_models.drawing import inline_svg
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.picture import plan_figure
from mcuformer_tflm.quantize.report import sqnr_figure
from mcuformer_tflm.search.oracles.evolution_picture import evolution_figure
from mcuformer_tflm.search.oracles.front import OBJECTIVE_LABELS, draw_costs
from mcuformer_tflm.task.page.record import RunRecord, SpacePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches of 72 points: text of 9 points is as large on a phone of 360 points.
_WIDTH = 4.5
_COLOUR = "#4c78a8"
# More classes than these make no matrix that can be read.
MOST_CLASSES = 40
_MOST_LABELLED = 20
_LONGEST_LABEL = 14


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure in a page.

    Attributes:
        name: Of its kind, for tests and links.
        title: Above it.
        caption: How it is to be read.
        svg: The element.
    """

    name: str
    title: str
    caption: str
    svg: str


def _way(path: SpacePath) -> Drawing:
    figure = evolution_figure(path.space, path.visits, size=(_WIDTH, 4.0), steps=path.steps)
    if not path.steps:
        return _drawing(
            figure, "networks", "Networks that were compared",
            "Each disc is a network that was trained alone for a while, one of its patch size and "
            "stem, by its rank ratio and its accuracy on validation images; the star, the one that "
            "was trained on.",
        )  # fmt: skip
    return _drawing(
        figure, "evolution", "Path of the evolution",
        "Each arrow is a step of a walker, over pairs of patch size and rank ratio (Figure 4 "
        "of the paper). A disc is a pair that was scored, the larger the more often; a ring, "
        "one that was trained further; the star, the pair that was chosen.",
    )  # fmt: skip


def search_drawings(record: RunRecord) -> Iterator[Drawing]:
    """Yields the way of the search, and accuracy against each cost."""
    if record.path is not None and record.path.visits:
        yield _way(record.path)
    scores = record.scores
    if scores is None:
        return
    names = {"memory_bytes": "arena", "flash_bytes": "flash", "milliseconds": "time"}
    for objective, costs in scores.costs.items():
        figure = _figure(3.2)
        (axes,) = figure.axes
        draw_costs(
            axes, costs, scores.accuracy, scores.on_front, label=OBJECTIVE_LABELS[objective],
            limit=scores.limits.get(objective),
        )  # fmt: skip
        axes.plot(
            costs[scores.chosen], scores.accuracy[scores.chosen], "*", color="crimson", ms=12,
            label="chosen",
        )  # fmt: skip
        axes.set_ylabel("accuracy on validation images")
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        figure.legend(loc="outside lower center", fontsize=8, ncols=3)
        name = names[objective]
        yield _drawing(
            figure, f"front-{name}", f"Accuracy against {name}",
            f"{len(costs):,} subnets with the supernet's weights; figures of cost are "
            "predictions. Discs: no other subnet is better in every figure.",
        )  # fmt: skip


def training_drawings(record: RunRecord) -> Iterator[Drawing]:
    """Yields a learning curve for each training."""
    for number, curve in enumerate(record.curves):
        if not curve.losses:
            continue
        figure = _figure(2.4)
        (axes,) = figure.axes
        ends = np.linspace(0, curve.steps, len(curve.losses) + 1)[1:]
        axes.plot(ends, curve.losses, color=_COLOUR, lw=1.4, marker="." * (len(ends) < 30))
        axes.set(xlabel="steps", ylabel="loss")
        axes.grid(alpha=0.3)
        yield _drawing(
            figure, f"curve-{number}", f"Learning curve: {curve.name}",
            f"The loss of {curve.steps:,} steps, means over {len(ends):,} equal stretches. Losses "
            "of different trainings do not compare.",
        )  # fmt: skip


def model_drawings(
    record: RunRecord, plan: MemoryPlan | None, budget: int | None
) -> Iterator[Drawing]:
    """Yields the memory map, instructions by operator, and SQNR by layer."""
    if plan is not None:
        figure = plan_figure(plan, budget=budget, size=(_WIDTH, 4.2))
        for axes in figure.axes:
            axes.title.set_fontsize(9)
        yield _drawing(
            figure, "memory", "Memory map",
            "Where each buffer lies in the arena while operators run, from left to right. Hatched: "
            "the output takes the place of its input.",
        )  # fmt: skip
    if record.operators:
        names = [allowed(one.name, "picture") for one in record.operators]
        figure = _figure(1.2 + 0.2 * len(names))
        (axes,) = figure.axes
        # By place, not by name, of which two operators may have the same.
        axes.barh(range(len(names)), [one.instructions for one in record.operators], color=_COLOUR)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
        axes.set_xlabel("million instructions of one inference (estimate)")
        total = sum(one.instructions for one in record.operators)
        yield _drawing(
            figure, "instructions", "Instructions by operator",
            f"In the order in which they run; {total:,.0f} together, an estimate from counts on "
            "emulated cores.",
        )  # fmt: skip
    if record.layers:
        yield _drawing(
            sqnr_figure(record.layers, width=_WIDTH), "sqnr", "Quantization error by layer",
            "The worst at the top. Bars end at 90 dB where a layer loses nothing.",
        )  # fmt: skip


def confusion_drawing(record: RunRecord) -> Drawing | None:
    """Returns the confusion matrix; None where there is none, or of too many classes to read."""
    counts = np.asarray(record.confusion, float)
    if not counts.size or len(counts) > MOST_CLASSES:
        return None
    from matplotlib.patches import Rectangle

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(_WIDTH)
    (axes,) = figure.axes
    for row, column in np.ndindex(*shares.shape):
        share = shares[row, column]
        colour = _COLOUR if row == column else "#e45756"
        axes.add_patch(
            # Paler than its share where it is right, so that mistakes are seen beside it.
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, linewidth=0,
                      alpha=0.8 * share if row == column else min(1.0, 3 * share))
        )  # fmt: skip
        if counts[row, column] and len(counts) <= _MOST_LABELLED:
            size = 7 if len(counts) <= 10 else 5
            axes.text(column, row, f"{100 * share:.0f}" if share >= 0.005 else "·",
                      ha="center", va="center", fontsize=size)  # fmt: skip
    labels = [_short(allowed(label, "picture")) for label in record.labels]
    size = 8 if len(labels) <= _MOST_LABELLED else 4
    axes.set(
        xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal",
        xlabel="said", ylabel="class",
    )  # fmt: skip
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    return _drawing(
        figure, "confusion", "Confusion matrix",
        "Of each class's test images, the percentage that the int8 model said to be of each; "
        "blue is right, red is wrong and three times as strong.",
    )  # fmt: skip


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.subplots()
    return figure


def _drawing(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    return Drawing(name, title, caption, inline_svg(figure, name))


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
