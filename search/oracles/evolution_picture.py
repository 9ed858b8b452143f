"""The path of the space's evolution as a picture (paper, Fig. 4)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.space import SearchSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_evolution(space: SearchSpace, history: Sequence[Visit], path: AnyPath) -> None:
    """Draws ``evolution_figure`` to a file.

    Args:
        space: What was searched.
        history: Of ``SpaceEvolution``.
        path: A ``.png`` or ``.svg``.
    """
    save_picture(evolution_figure(space, history), checked_path("path", path))


def evolution_figure(
    space: SearchSpace,
    history: Sequence[Visit],
    *,
    size: tuple[float, float] = (7, 4.5),
    steps: bool = True,
) -> Figure:
    """Draws each walker's way over the pairs of patch size and rank ratio.

    A disc is a pair that was scored, the larger the more often; a ring around it is a walker that
    stayed to train it further; the star is the best pair. Of a space with both stems each patch
    size has a row for each stem that takes it.

    Args:
        space: What was searched.
        history: Of ``SpaceEvolution``.
        size: Width and height, in inches.
        steps: Whether walkers went from pair to pair; else each was scored for itself, by a network
            trained alone, and there are no ways to draw.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    rows = [(patch, stem) for stem in space.stem for patch in space.patch_size
            if stem in space.stems_of(patch)]  # fmt: skip

    def place(visit: Visit) -> tuple[float, float]:
        stem = space.stem[visit.point[2]] if len(visit.point) > 2 else space.stem[0]
        return visit.point[1], rows.index((space.patch_size[visit.point[0]], stem))

    visits = Counter(map(place, history))
    best_scores: dict[tuple[float, float], float] = {}
    for visit in history:
        best_scores[place(visit)] = max(visit.score, best_scores.get(place(visit), visit.score))
    discs = axes.scatter(
        [pair[0] for pair in visits], [pair[1] for pair in visits],
        s=[120 * count for count in visits.values()],
        c=[best_scores[pair] for pair in visits], cmap="viridis", zorder=2,
    )  # fmt: skip
    bar = figure.colorbar(discs, label="best score S = A + eta R" if steps else "accuracy")
    if bar.solids is not None:
        bar.solids.set_rasterized(False)  # a raster would be an image inside the page
    walkers = sorted({visit.walker for visit in history}) if steps else []
    for walker in walkers:
        color = f"C{walker % 10}"
        way = [place(visit) for visit in history if visit.walker == walker]
        # Walkers apart, so that ways over the same pairs can be told apart.
        shift = 0.06 * (walker - (len(walkers) - 1) / 2)
        for here, there in itertools.pairwise(way):
            if here == there:
                axes.scatter(here[0] + shift, here[1] + shift, s=400, facecolors="none",
                             edgecolors=color, zorder=3)  # fmt: skip
                continue
            axes.annotate(
                "", (there[0] + shift, there[1] + shift), (here[0] + shift, here[1] + shift),
                arrowprops={"arrowstyle": "->", "color": color, "lw": 1.6}, zorder=4,
            )  # fmt: skip
        axes.plot([], [], color=color, label=f"walker {walker + 1}")
    best = max(visits, key=lambda pair: (visits[pair], best_scores[pair]))
    axes.plot(*best, "*", color="crimson", markersize=16, zorder=5, label="best")
    axes.set_xticks(range(len(space.rank_ratio)), [str(value) for value in space.rank_ratio])
    stems = len(space.stem) > 1
    axes.set_yticks(range(len(rows)), [f"{p}, {stem}" if stems else str(p) for p, stem in rows])
    axes.set_xlabel("rank_ratio")
    axes.set_ylabel("patch_size, stem" if stems else "patch_size")
    axes.margins(0.15)
    figure.legend(fontsize="small", loc="outside lower center", ncols=3)
    return figure
