"""Which of several solutions are best in several figures at once (Deb et al., NSGA-II, 2002)."""

from __future__ import annotations

import numpy as np


def dominated_by(costs: np.ndarray) -> np.ndarray:
    """Returns bool[n, n]: whether the solution of a row is dominated by that of a column.

    One dominates another if it is nowhere worse and somewhere better; equals do not.

    Args:
        costs: float[n, objectives], each the better the less.
    """
    worse_nowhere = np.ones((len(costs), len(costs)), bool)
    better_somewhere = np.zeros_like(worse_nowhere)
    for cost in costs.T:
        worse_nowhere &= cost[None, :] <= cost[:, None]
        better_somewhere |= cost[None, :] < cost[:, None]
    return worse_nowhere & better_somewhere


def front_numbers(costs: np.ndarray) -> np.ndarray:
    """Returns the front of each solution, int[n]: 0 where none dominates it.

    1 where none does among those that are left without front 0, and so on.

    Args:
        costs: As for ``dominated_by``.
    """
    dominated = dominated_by(costs)
    fronts = np.full(len(costs), -1)
    left = np.arange(len(costs))
    number = 0
    while len(left):
        free = ~dominated[np.ix_(left, left)].any(axis=1)
        fronts[left[free]] = number
        left = left[~free]
        number += 1
    return fronts


def crowding_distances(costs: np.ndarray) -> np.ndarray:
    """Returns how far each solution of one front lies from its neighbours, float[n].

    The sum over objectives of the gap between the next smaller and the next larger figure, as a
    share of the front's range; infinite for the least and the greatest.

    Args:
        costs: As for ``dominated_by``, of the front alone.
    """
    distances = np.zeros(len(costs))
    for cost in costs.T:
        order = np.argsort(cost, kind="stable")
        ranged = cost[order]
        width = ranged[-1] - ranged[0]
        if width > 0:
            distances[order[1:-1]] += (ranged[2:] - ranged[:-2]) / width
            distances[order[[0, -1]]] = np.inf
    return distances


def crowded_order(costs: np.ndarray) -> np.ndarray:
    """Returns the solutions best first, int[n]: by front, then the less crowded one.

    Equals stay in their order.

    Args:
        costs: As for ``dominated_by``.
    """
    fronts = front_numbers(costs)
    distances = np.empty(len(costs))
    for number in range(fronts.max(initial=-1) + 1):
        here = fronts == number
        distances[here] = crowding_distances(costs[here])
    return np.lexsort((-distances, fronts))
