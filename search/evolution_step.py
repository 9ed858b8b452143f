"""One step of the evolution of a search space (paper, Eq. 3 and 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Point = tuple[int, int]
Update = Literal["ascend", "paper"]

_RIDGE = 1e-3


def fit_plane(points: Sequence[Point], scores: Sequence[float]) -> tuple[float, float]:
    """Returns the slopes of the score along both factors, per step.

    Least squares of score = w . point + b with a little ridge on w: well-posed for any number
    of points, and zero along a factor that does not vary.

    Args:
        points: (patch_size, rank_ratio) as indices into the space's values, so that distance
            counts in steps.
        scores: One a point.
    """
    if not points:
        return 0.0, 0.0
    x = np.asarray(points, np.float64)
    y = np.asarray(scores, np.float64)
    x = x - x.mean(0)
    slopes = np.linalg.solve(x.T @ x + _RIDGE * np.eye(2), x.T @ (y - y.mean()))
    return float(slopes[0]), float(slopes[1])


def nearest(point: Point, others: Sequence[Point], k: int) -> list[int]:
    """Returns the indices of the k points nearest to one, itself included if present."""
    distance = [math.dist(point, other) for other in others]
    return sorted(range(len(others)), key=lambda i: (distance[i], i))[:k]


def evolve(
    point: Point,
    slopes: tuple[float, float],
    thresholds: tuple[float, float],
    limits: Point,
    update: Update = "ascend",
) -> Point:
    """Returns where a space moves (Eq. 3), clamped to the values that there are.

    Args:
        point: (patch_size, rank_ratio) as indices.
        slopes: Of the score, per step.
        thresholds: h: a slope this steep moves one step.
        limits: Number of values of each factor.
        update: ``"ascend"`` climbs the score, rounding towards zero. ``"paper"`` is the
            printed equation, which subtracts floor(w / h) steps: with w the slope of a score
            it descends, and its floor makes any slope below zero a whole step.
    """
    moved = []
    for index, slope, threshold, count in zip(point, slopes, thresholds, limits, strict=True):
        ratio = slope / threshold
        steps = math.trunc(ratio) if update == "ascend" else -math.floor(ratio)
        moved.append(min(max(index + steps, 0), count - 1))
    return moved[0], moved[1]
