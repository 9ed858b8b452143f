"""One step of the evolution of a search space (paper, Eq. 3 and 4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from mcuformer_tflm.keras_models.checked_values import checked_choice

# Each factor of the space as an index into its values.
Point = tuple[int, ...]
Update = Literal["ascend", "paper"]
Inherit = Literal["nearest", "none"]

# A plane is trusted so many steps from where it was fitted.
MAX_STRIDE = 2
# How far around the best space "ascend" looks, in steps, before it is content with it.
REACH = 3
_RIDGE = 1e-3
# How scores resemble each other: within so many steps, but for this share of their variance.
_RESEMBLANCE = 2.0
_NOISE = 0.05


class Visit(NamedTuple):
    """One scored visit of a space.

    Attributes:
        point: Of (patch_size, rank_ratio), or of those and the stem.
        epochs: Total epochs that its supernet had been trained for, inherited ones included.
        score: S = A + eta R.
        walker: Who went there.
    """

    point: Point
    epochs: int
    score: float
    walker: int


def neighbourhood(
    point: Point, epochs: int, history: Sequence[Visit], step_epochs: int, k: int
) -> list[Visit]:
    """Returns the k visits nearest to a point whose total epochs are equal (Eq. 4).

    Where no other space has as many, those with ``step_epochs`` fewer are taken, the point's
    own among them, so that unequal epochs are never compared. Distance counts in steps.
    """

    def nearest(total: int) -> list[Visit]:
        equal = [visit for visit in history if visit.epochs == total]
        return sorted(equal, key=lambda visit: math.dist(point, visit.point))[:k]

    found = nearest(epochs)
    if all(visit.point == point for visit in found):
        found = nearest(epochs - step_epochs) or found
    return found


def nearest_trained(point: Point, history: Sequence[Visit]) -> Visit | None:
    """Returns the visit whose supernet a space would best start from; None without any.

    The nearest in steps; among such one of the same rank's neighbours, which need no kernel
    resized, then the longest trained, then the earliest.

    Args:
        point: A space that has not been visited.
        history: Visits, of which the last of each space counts.
    """
    last = {visit.point: visit for visit in history}
    return min(
        last.values(),
        key=lambda visit: (
            math.dist(point, visit.point),
            without_rank(point) != without_rank(visit.point),
            -visit.epochs,
        ),
        default=None,
    )


def without_rank(point: Point) -> Point:
    """Returns where a space lies but for its rank."""
    patch, _, *stem = point
    return (patch, *stem)


def at_equal_epochs(history: Sequence[Visit]) -> dict[Point, float]:
    """Returns the first score of each space, less what more epochs than others' have given it.

    What a doubling of epochs gives is estimated by generalised least squares over all visits, in
    which scores of near spaces resemble each other: it shows best in a space that is visited again,
    and between neighbours. Where all first visits had equal epochs their scores stay as they are.
    """
    first: dict[Point, Visit] = {}
    for visit in history:
        first.setdefault(visit.point, visit)
    return dict(zip(first, less_growth(list(first.values()), history), strict=True))


def less_growth(visits: Sequence[Visit], history: Sequence[Visit]) -> list[float]:
    """Returns scores of visits, less what more epochs have given than the fewest of them have.

    Args:
        visits: Whose scores.
        history: All visits, from which the gain of a doubling is estimated (``at_equal_epochs``).
    """
    if len({visit.epochs for visit in visits}) < 2:
        return [visit.score for visit in visits]
    fewest = min(visit.epochs for visit in visits)
    gain = _gain_of_a_doubling(history)
    return [visit.score - gain * math.log2(visit.epochs / fewest) for visit in visits]


def _gain_of_a_doubling(history: Sequence[Visit]) -> float:
    points = np.asarray([visit.point for visit in history], np.float64)
    doublings = np.log2([visit.epochs for visit in history])
    if np.ptp(doublings) == 0:
        return 0.0
    squared = np.square(points[:, None] - points).sum(-1)
    covariance = np.exp(-squared / (2 * _RESEMBLANCE**2)) + _NOISE * np.eye(len(points))
    design = np.stack([np.ones(len(points)), doublings], 1)
    weighted = np.linalg.solve(covariance, design)
    scores = np.asarray([visit.score for visit in history])
    _, gain = np.linalg.solve(design.T @ weighted, weighted.T @ scores)
    return max(0.0, float(gain))


def fit_plane(
    points: Sequence[Point], scores: Sequence[float], *, factors: int = 2
) -> tuple[float, ...]:
    """Returns the slopes of the score along each factor, per step.

    Least squares of score = w . point + b with a little ridge on w: well-posed for any number
    of points, and zero along a factor that does not vary.

    Args:
        points: Indices into the space's values, so that distance counts in steps.
        scores: One a point.
        factors: Number of the space's factors.
    """
    if not points:
        return (0.0,) * factors
    x = np.asarray(points, np.float64)
    y = np.asarray(scores, np.float64)
    x = x - x.mean(0)
    slopes = np.linalg.solve(x.T @ x + _RIDGE * np.eye(factors), x.T @ (y - y.mean()))
    return tuple(map(float, slopes))


def evolve(
    point: Point,
    slopes: Sequence[float],
    thresholds: Sequence[float],
    limits: Point,
    *,
    update: Update = "ascend",
) -> Point:
    """Returns where a space moves (Eq. 3), clamped to the values that there are.

    Args:
        point: Where it is.
        slopes: Of the score, per step.
        thresholds: h: a slope this steep moves one step.
        limits: Number of values of each factor.
        update: ``"ascend"`` climbs the score, rounding towards zero, at most ``MAX_STRIDE``
            steps. ``"paper"`` is the printed equation, which subtracts floor(w / h) steps: with
            w the slope of a score it descends, and its floor makes any slope below zero a whole
            step.

    Raises:
        ConfigError: If ``update`` is neither.
    """
    checked_choice("update", update, get_args(Update))
    moved = []
    for index, slope, threshold, count in zip(point, slopes, thresholds, limits, strict=True):
        ratio = slope / threshold
        if update == "ascend":
            steps = math.trunc(min(max(ratio, -MAX_STRIDE), MAX_STRIDE))
        else:
            steps = -math.floor(ratio)
        moved.append(min(max(index + steps, 0), count - 1))
    return tuple(moved)


def look_around(
    scores: Mapping[Point, float], limits: Point, k: int, *, taken: Collection[Point] = ()
) -> Point:
    """Returns the most promising unscored neighbour of the best space, or the best space.

    Neighbours one step away, diagonals included, come before those further away, up to
    ``REACH``; among equal ones the plane over the k scored spaces nearest to the best decides.
    Neighbours that a concave score could not let win (``concave_bound``) are left out. When none
    is left the best space is the answer.

    Args:
        scores: Of every space that has one, after equal epochs.
        limits: Number of values of each factor.
        k: Neighbours of the plane.
        taken: Spaces that are not to be chosen: under way, or failed.
    """
    best = max(scores, key=lambda point: scores[point])
    near = sorted(scores, key=lambda point: math.dist(best, point))[:k]
    slopes = fit_plane(near, [scores[point] for point in near], factors=len(limits))
    for radius in range(1, REACH + 1):
        box = [
            range(max(index - radius, 0), min(index + radius, count - 1) + 1)
            for index, count in zip(best, limits, strict=True)
        ]
        ring = [
            point
            for point in itertools.product(*box)
            if point not in scores
            and point not in taken
            and concave_bound(point, scores) > scores[best]
        ]
        if ring:
            return max(ring, key=lambda point: float(np.dot(slopes, np.subtract(point, best))))
    return best


def concave_bound(point: Point, scores: Mapping[Point, float]) -> float:
    """Returns the most that a concave score can be at a point, given others' scores.

    On a line through the point and two scored ones on its same side, the score lies below the
    straight line through those two. Infinite where no such line is.
    """
    away = np.subtract(list(scores), point)
    values = np.asarray(list(scores.values()))
    product = away @ away.T
    squares = np.diag(product)
    length = np.hypot.reduce(away.astype(np.float64), axis=1)
    # Equal in Cauchy and Schwarz's inequality, exact in integers.
    in_line = (product > 0) & (product**2 == np.outer(squares, squares))
    near, far = np.nonzero(in_line & (length[:, None] < length[None, :]))
    slope = (values[near] - values[far]) / (length[far] - length[near])
    return float(np.min(values[near] + slope * length[near], initial=math.inf))
