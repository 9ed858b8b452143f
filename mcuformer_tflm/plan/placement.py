"""Search for small placements of buffers in one or several regions of memory."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Sequence

from mcuformer_tflm.plan.memory_plan import PlannedBuffer

# Orders tried beyond those that are sorted by a rule.
_ATTEMPTS = 400
# All orders of so few chains are tried: then the result is the smallest there is.
_EXHAUSTIVE = 6
_UNLIMITED = 1 << 62


@dataclasses.dataclass(frozen=True)
class Chain:
    """Buffers that start at one address, since each overwrites the one before.

    Attributes:
        members: Indices of its buffers.
        height: Bytes of the largest.
        first: First operator at which one is alive.
        last: Last operator at which one is alive.
    """

    members: tuple[int, ...]
    height: int
    first: int
    last: int


Place = tuple[int, int]  # region, offset


def find_chains(buffers: Sequence[PlannedBuffer]) -> list[Chain]:
    """Joins buffers with those that they overwrite."""
    groups: list[list[int]] = []
    group_of: dict[int, list[int]] = {}
    # Written earlier first, so that a source's chain exists before its overwriter's.
    for index in sorted(range(len(buffers)), key=lambda i: buffers[i].first_operator):
        buffer = buffers[index]
        if buffer.overwrites is None:
            groups.append([index])
        else:
            group_of[buffer.overwrites].append(index)
        if buffer.tensor is not None:
            group_of[buffer.tensor] = (
                groups[-1] if buffer.overwrites is None else group_of[buffer.overwrites]
            )
    return [
        Chain(
            tuple(group),
            max(buffers[i].size for i in group),
            min(buffers[i].first_operator for i in group),
            max(buffers[i].last_operator for i in group),
        )
        for group in groups
    ]


def place_buffers(
    buffers: Sequence[PlannedBuffer],
    bound: int,
    *,
    capacities: Sequence[int] = (),
    penalty: Callable[[list[Place]], int] = lambda places: 0,
    seed: int = 0,
) -> list[Place]:
    """Places buffers so that no two that are alive at once share a byte.

    Algorithm:
      - Buffers that overwrite one another move as one chain. For each pair of chains the
        least distance is known beforehand: the largest member of the lower that is alive
        together with a member of the upper.
      - A chain goes to the lowest offset that keeps those distances to the chains already
        placed, in the first region where it stays within the capacity.
      - The order decides. Sorted orders come first (by size, by bytes times lifetime, by what
        is alive at the fullest operator); then the chain that ends highest is moved forward
        in the best order found so far, until the bound is reached. Of few chains all orders
        are tried, and one of them gives the optimum.

    Args:
        buffers: What to place; sizes are multiples of the alignment.
        bound: Bytes that no placement can undercut; the search ends when it is reached.
        capacities: Bytes of each region, or nothing for one without limit. Where it is not
            enough, the last region overflows.
        penalty: Further bytes that a placement costs; of equal sizes the lower penalty wins.
        seed: Of the orders that are tried.

    Returns:
        (region, offset) of each buffer.
    """
    chains = find_chains(buffers)
    above = _distances(buffers, chains)
    limits = list(capacities) or [_UNLIMITED]
    best: tuple[tuple[int, int, int], list[Place]] | None = None
    leader: list[int] = []
    for order in _orders(chains, buffers, seed, leader):
        places = _place(order, chains, above, limits)
        tops = _tops(chains, places, len(limits))
        overflow = sum(max(0, top - limit) for top, limit in zip(tops, limits, strict=True))
        if best is not None and (overflow, sum(tops)) > best[0][:2]:
            continue
        spread = _spread(chains, places, buffers)
        cost = (overflow, sum(tops), penalty(spread))
        if best is None or cost <= best[0]:
            best = (cost, spread)
            leader[:] = _highest_first(order, chains, places)
        if best[0] == (0, bound, 0):
            break
    assert best is not None
    return best[1]


def _orders(
    chains: list[Chain], buffers: Sequence[PlannedBuffer], seed: int, leader: list[int]
) -> Iterable[list[int]]:
    # `leader` is the best order so far, which the caller keeps up to date.
    indices = list(range(len(chains)))
    if len(indices) <= _EXHAUSTIVE:
        yield from (list(order) for order in itertools.permutations(indices))
        return
    fullness = _fullness(chains, buffers)
    yield sorted(indices, key=lambda i: (-chains[i].height, chains[i].first))
    yield sorted(indices, key=lambda i: -chains[i].height * (chains[i].last - chains[i].first + 1))
    yield sorted(indices, key=lambda i: (-fullness[i], -chains[i].height))
    yield sorted(indices, key=lambda i: (chains[i].first - chains[i].last, -chains[i].height))
    shuffle = random.Random(seed)
    for attempt in range(_ATTEMPTS):
        order = list(leader)
        # The first entry ended highest; now and then another is moved instead.
        position = 0 if attempt % 4 else shuffle.randrange(len(order))
        chain = order.pop(position)
        order.insert(shuffle.randrange(len(order) + 1) // (1 + attempt % 3), chain)
        yield order


def _highest_first(order: list[int], chains: list[Chain], places: list[Place]) -> list[int]:
    top = max(order, key=lambda i: places[i][1] + chains[i].height)
    return [top, *(i for i in order if i != top)]


def _fullness(chains: list[Chain], buffers: Sequence[PlannedBuffer]) -> list[int]:
    # For each chain the largest sum of live bytes that it takes part in.
    steps = range(-1, 1 + max((chain.last for chain in chains), default=0))
    live = [
        sum(b.size for b in buffers if b.first_operator <= step <= b.last_operator)
        for step in steps
    ]
    return [max(live[chain.first + 1 : chain.last + 2]) for chain in chains]


def _distances(buffers: Sequence[PlannedBuffer], chains: list[Chain]) -> list[dict[int, int]]:
    # above[i][j]: bytes from the start of chain i to that of j, where j lies above i.
    above: list[dict[int, int]] = [{} for _ in chains]
    for one, other in itertools.combinations(range(len(chains)), 2):
        a, b = chains[one], chains[other]
        if a.first > b.last or b.first > a.last:
            continue
        meeting = [
            (buffers[i].size, buffers[j].size)
            for i in a.members
            for j in b.members
            if buffers[i].first_operator <= buffers[j].last_operator
            and buffers[j].first_operator <= buffers[i].last_operator
        ]
        if meeting:
            above[one][other] = max(size for size, _ in meeting)
            above[other][one] = max(size for _, size in meeting)
    return above


def _place(
    order: list[int], chains: list[Chain], above: list[dict[int, int]], limits: list[int]
) -> list[Place]:
    places: list[Place | None] = [None] * len(chains)
    for index in order:
        for region, limit in enumerate(limits):
            forbidden = []
            for other, distance in above[index].items():
                place = places[other]
                if place is not None and place[0] == region:
                    forbidden.append((place[1] - distance, place[1] + above[other][index]))
            offset = 0
            for low, high in sorted(forbidden):
                if offset <= low:
                    break
                offset = max(offset, high)
            if offset + chains[index].height <= limit or region == len(limits) - 1:
                places[index] = (region, offset)
                break
    return [place for place in places if place is not None]


def _tops(chains: list[Chain], places: list[Place], num_regions: int) -> list[int]:
    tops = [0] * num_regions
    for chain, (region, offset) in zip(chains, places, strict=True):
        tops[region] = max(tops[region], offset + chain.height)
    return tops


def _spread(
    chains: list[Chain], places: list[Place], buffers: Sequence[PlannedBuffer]
) -> list[Place]:
    spread: list[Place] = [(0, 0)] * len(buffers)
    for chain, place in zip(chains, places, strict=True):
        for member in chain.members:
            spread[member] = place
    return spread
