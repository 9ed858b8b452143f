"""The path of the space's evolution as a picture (paper, Fig. 4)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.space import SearchSpace


def draw_evolution(space: SearchSpace, history: Sequence[Visit], path: AnyPath) -> None:
    """Draws each walker's way over the pairs of patch size and rank ratio.

    A disc is a pair that was scored, the larger the more often; a ring around it is a walker that
    stayed to train it further; the star is the best pair.

    Args:
        space: What was searched.
        history: Of ``SpaceEvolution``.
        path: A ``.png`` or ``.svg``.
    """
    path = checked_path("path", path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    visits = Counter(visit.point for visit in history)
    best_scores = {point: max(v.score for v in history if v.point == point) for point in visits}
    discs = axes.scatter(
        [point[1] for point in visits],
        [point[0] for point in visits],
        s=[120 * count for count in visits.values()],
        c=list(best_scores.values()),
        cmap="viridis",
        zorder=2,
    )
    figure.colorbar(discs, label="best score S = A + eta R")
    walkers = sorted({visit.walker for visit in history})
    for walker in walkers:
        color = f"C{walker}"
        way = [visit.point for visit in history if visit.walker == walker]
        # Walkers apart, so that ways over the same pairs can be told apart.
        shift = 0.06 * (walker - (len(walkers) - 1) / 2)
        for here, there in itertools.pairwise(way):
            if here == there:
                axes.scatter(here[1] + shift, here[0] + shift, s=400, facecolors="none",
                             edgecolors=color, zorder=3)  # fmt: skip
                continue
            axes.annotate(
                "", (there[1] + shift, there[0] + shift), (here[1] + shift, here[0] + shift),
                arrowprops={"arrowstyle": "->", "color": color, "lw": 1.6}, zorder=4,
            )  # fmt: skip
        axes.plot([], [], color=color, label=f"walker {walker + 1}")
    best = max(visits, key=lambda point: (visits[point], best_scores[point]))
    axes.plot(best[1], best[0], "*", color="crimson", markersize=16, zorder=5, label="best")
    axes.set_xticks(range(len(space.rank_ratio)), [str(value) for value in space.rank_ratio])
    axes.set_yticks(range(len(space.patch_size)), [str(value) for value in space.patch_size])
    axes.set_xlabel("rank_ratio")
    axes.set_ylabel("patch_size")
    axes.margins(0.15)
    axes.legend(fontsize="small")
    save_picture(figure, path)
