"""What TFLM's stock planner does with a plan (micro/memory_planner/greedy_memory_planner.cc)."""

from __future__ import annotations

from collections.abc import Sequence


def greedy_offsets(
    requirements: Sequence[tuple[int, int, int]], fixed: Sequence[int | None]
) -> list[int]:
    """Returns the offset of every buffer, in bytes.

    Buffers with a planned offset keep it, unchecked. The others follow, largest first (of
    equals the later one first), each in the first gap between buffers alive at the same time.

    Args:
        requirements: (size, first use, last use) of each buffer, in TFLM's order: tensors by
            index, then scratch in the order of the requests.
        fixed: Planned offset of each, or None.
    """
    offsets = [0 if offset is None else offset for offset in fixed]
    placed = [i for i, offset in enumerate(fixed) if offset is not None]
    online = [i for i, offset in enumerate(fixed) if offset is None]
    for index in sorted(reversed(online), key=lambda i: -requirements[i][0]):
        size, first, last = requirements[index]
        candidate = 0
        for other in sorted(placed, key=lambda i: offsets[i]):
            other_size, other_first, other_last = requirements[other]
            if other_first > last or first > other_last:
                continue
            if offsets[other] - candidate >= size:
                break
            candidate = max(candidate, offsets[other] + other_size)
        offsets[index] = candidate
        placed.append(index)
    return offsets
