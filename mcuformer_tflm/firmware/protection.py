"""A board's memories as regions of its memory protection unit.

ARMv7-M (Architecture Reference Manual, B3.5): a region has a power of two bytes and begins at a
multiple of them, and from 256 bytes on each of its eighths can be left out. ARMv8-M (Architecture
Reference Manual, B9): from any multiple of 32 to any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import Board

# Cores with ARMv8-M's unit.
ARMV8M = ("cortex-m33", "cortex-m55")
# As few as these cores have, if they have protection.
_REGIONS = 8
# On ARMv7-M a guard is a region, two where it begins at no multiple of its bytes: before and after
# the arena, below the stack.
_GUARDS = 3
_GUARD_BYTES = 256
_UNIT = 32
_LEAST_WITH_EIGHTHS = 8


@dataclasses.dataclass(frozen=True)
class Memory:
    """Memory that a program may touch, and how: ``Access`` of support/board/protection.h."""

    name: str
    address: int
    size: int
    access: str


@dataclasses.dataclass(frozen=True)
class Region:
    """A region of ARMv7-M's unit.

    Attributes:
        base: Its first byte, a multiple of its bytes.
        log2_bytes: Its size.
        disabled: Bit i leaves eighth i out.
    """

    base: int
    log2_bytes: int
    disabled: int

    @property
    def extent(self) -> range:
        """Addresses between the first eighth that is not left out and the last."""
        if not self.disabled:
            return range(self.base, self.base + (1 << self.log2_bytes))
        eighth = 1 << self.log2_bytes - 3
        there = [i for i in range(8) if not self.disabled >> i & 1]
        return range(self.base + there[0] * eighth, self.base + (there[-1] + 1) * eighth)


def memories(board: Board) -> list[Memory]:
    """Returns what a program on a board may touch."""
    found = [Memory("flash", board.flash_address, board.flash, "kCode")]
    if board.external_flash:
        found.append(
            Memory(
                "external flash", board.external_flash_address, board.external_flash, "kConstants"
            )
        )
    for regions, access in (
        (board.sram_regions, "kData"),
        (board.peripherals, "kDevices"),
    ):
        found += [Memory(region.name, region.address, region.size, access) for region in regions]
    return found


def cover(start: int, size: int) -> Iterator[Region]:
    """Yields regions that together have exactly ``size`` bytes from ``start``.

    Args:
        start: Address, a multiple of 32.
        size: Bytes, a multiple of 32.
    """
    end = start + size
    while start < end:
        # The one that reaches farthest; of those the smallest.
        best = max(_starting_at(start, end), key=lambda r: (r.extent.stop, -r.log2_bytes))
        yield best
        start = best.extent.stop


def _starting_at(start: int, end: int) -> Iterator[Region]:
    for log2 in range(5, 33):
        base, eighth = start >> log2 << log2, 1 << log2 - 3
        if log2 < _LEAST_WITH_EIGHTHS:
            if base == start and start + (1 << log2) <= end:
                yield Region(base, log2, 0)
        elif start % eighth == 0:
            eighths = range(base, base + (1 << log2), eighth)
            out = [at < start or at + eighth > end for at in eighths]
            if not all(out):
                yield Region(base, log2, sum(1 << i for i, left in enumerate(out) if left))


def arena_alignment(board: Board) -> int:
    """Returns a multiple of how many bytes the arena ends at, so that regions suffice.

    On ARMv7-M a guard that begins at a multiple of its bytes takes one region, any other two.

    Raises:
        ConfigError: If the unit has too few regions for the board's memories.
    """
    for memory in memories(board):
        if memory.address % _UNIT or memory.size % _UNIT:
            raise ConfigError(
                f"{board.name} has {memory.name} of {memory.size:,} bytes at "
                f"0x{memory.address:08x}; memory protection needs multiples of {_UNIT}."
            )
    needed = {memory.name: _count(board, memory) for memory in memories(board)}
    if board.core not in ARMV8M:
        needed["guards"] = _GUARDS
    free = _REGIONS - sum(needed.values())
    if free < 0:
        told = ", ".join(f"{name} {count}" for name, count in needed.items())
        raise ConfigError(
            f"{board.name} needs {_REGIONS - free} regions of memory protection, and a "
            f"{board.core} may have no more than {_REGIONS}: {told}. Leave out a region of SRAM; "
            "memory of a power of two bytes at a multiple of them takes one."
        )
    return _GUARD_BYTES if board.core not in ARMV8M and free == 0 else _UNIT


def _count(board: Board, memory: Memory) -> int:
    if board.core not in ARMV8M:
        return len(list(cover(memory.address, memory.size)))
    # Guards are gaps: one in the middle divides what one at the start does not.
    first, last = board.sram_regions[0].name, board.sram_regions[-1].name
    return 1 + (memory.name == first) + (memory.name == first == last)
