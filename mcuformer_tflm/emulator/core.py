"""A core whose functions can be called from here, whatever emulates it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Memory:
    """Memory of an emulated core.

    Attributes:
        address: Its first byte.
        size: Bytes, a multiple of 4096.
        writable: Whether programs may write there.
    """

    address: int
    size: int
    writable: bool = True


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a call did. Its first part is what ran before the first of the core's ``starts``.

    Attributes:
        registers: r0 to r11 afterwards.
        stack: The stack pointer afterwards.
        blocks: How often each block of code ran in each part, by its address and size.
        loaded: Bytes that each part read from memory that is watched.
        touched: Stretches of watched memory that were read, (address, bytes), in order.
    """

    registers: tuple[int, ...]
    stack: int
    blocks: tuple[Counter[tuple[int, int]], ...]
    loaded: tuple[int, ...]
    touched: tuple[tuple[int, int], ...]


class CallError(Exception):
    """A call did not come to its end; the message says where and why."""


class Core(Protocol):
    """A core with memory, of which functions can be called."""

    def write(self, address: int, data: bytes) -> None:
        """Writes memory, also where programs may not."""

    def read(self, address: int, size: int) -> bytes:
        """Reads memory."""

    def callback(self, address: int, answer: Callable[[int, int, int], None]) -> bytes:
        """Returns code, to be laid at an address, a multiple of 4, that calls ``answer``.

        A program calls it with four arguments, of which ``answer`` gets the last three; to the
        program it returns 1. It holds until ``forget_callbacks``.
        """

    def forget_callbacks(self) -> None:
        """Forgets what ``callback`` was told."""

    def call(
        self, entry: int, registers: Sequence[int], stack: int, watch: range | None = None
    ) -> Ran:
        """Calls a function.

        Args:
            entry: Its address.
            registers: r0 to r11.
            stack: The stack pointer.
            watch: Addresses of which reads are told, which takes several times as long.

        Raises:
            CallError: If it does not return.
        """


def stretches(touched: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns addresses, in order, as (address, bytes) of what lies side by side."""
    result: list[tuple[int, int]] = []
    for address in touched:
        if result and sum(result[-1]) == address:
            result[-1] = (result[-1][0], result[-1][1] + 1)
        else:
            result.append((address, 1))
    return tuple(result)
