"""A Cortex-M that runs one function at a time and counts its instructions ."""

from __future__ import annotations

import functools
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcuformer_tflm.emulator.core import CallError, Core, Memory
from mcuformer_tflm.emulator.qemu_core import QemuCore
from mcuformer_tflm.emulator.toolchain import LOAD_ADDRESSES, KernelImage, build_kernels
from mcuformer_tflm.emulator.unicorn_core import UNICORN_CORES, UnicornCore
from mcuformer_tflm.keras_models.exceptions import EmulatorError

_FLASH_SIZE, _RAM_SIZE = 0x400000, 0x2000000
_STACK_SIZE = 0x4000
# Around each array, so that a write past its ends shows.
_GUARD = b"\xa5" * 64


@dataclass
class Buffer:
    """Memory that a call may write; ``data`` holds what it left there.

    Attributes:
        data: The array before the call, and after it.
        offset: Bytes from a 16-byte boundary at which it is laid.
    """

    data: np.ndarray
    offset: int = 0


@dataclass(frozen=True)
class Struct:
    """A struct of 32-bit fields (int or pointer), passed by reference."""

    fields: tuple[Any, ...]


@dataclass(frozen=True)
class RowSource:
    """A callback that gives a kernel the rows of an image: ``ImageSource::read`` (kernels/stem.h).

    Attributes:
        image: int8[height, width, channels].
        asked: Gets (first row, number of rows) of each call.
    """

    image: np.ndarray
    asked: list[tuple[int, int]] = field(default_factory=list)


@functools.cache
def emulated_machine(core: str, portable: bool = False) -> Machine:
    """Returns the machine of a core, with the kernels compiled once a process.

    Args:
        core: One of ``LOAD_ADDRESSES``.
        portable: Without the code that is tuned for the core.
    """
    return Machine(core, build_kernels(core, portable))


class Machine:
    """An emulated core with the kernels in its flash.

    Args:
        core: One of ``LOAD_ADDRESSES``.
        image: The compiled kernels.
    """

    def __init__(self, core: str, image: KernelImage) -> None:
        """Loads the image."""
        self.core, self.image = core, image
        flash, ram = LOAD_ADDRESSES[core]
        self._heap, self._stack = ram + 0x10000, ram + _RAM_SIZE
        memories = (Memory(flash, _FLASH_SIZE, writable=False), Memory(ram, _RAM_SIZE))
        self._core: Core
        if core in UNICORN_CORES:
            self._core = UnicornCore(core, memories, flash + 0x200)
        else:
            self._core = QemuCore(core, memories)
        for address, data in image.segments:
            self._core.write(address, data)
        self._blocks: dict[tuple[int, int], int] = {}  # instructions of blocks, by address and size
        self._ran: Counter[tuple[int, int]] = Counter()

    def call(self, function: str, *arguments: Any) -> int:
        """Runs a function to its end.

        Args:
            function: Its C++ name, as in ``KernelImage.functions``.
            arguments: int, read-only array, ``Buffer``, ``Struct`` or ``RowSource``, in order.

        Returns:
            How many instructions ran, the same on every run.

        Raises:
            EmulatorError: If the function does not exist, touches memory that is not there,
                writes beside its buffers, or breaks the calling convention.
        """
        if function not in self.image.functions:
            raise EmulatorError(f"The image for {self.core} holds no function {function}.")
        return self._call(function, arguments, None)

    def reads_beside(self, function: str, *arguments: Any) -> list[str]:
        """Runs a function as ``call`` does, slowly; tells its reads beside its arguments."""
        self._call(function, arguments, range(self._heap, self._stack - _STACK_SIZE))
        laid = [(start, start + len(data)) for start, data, _ in self._laid]
        return [f"{size} bytes at {address:#x}" for address, size in _outside(self._touched, laid)]

    def executed(self) -> Counter[bytes]:
        """Returns how often each block of code ran in the last call, by its bytes."""
        result: Counter[bytes] = Counter()
        for block, count in self._ran.items():
            result[self._core.read(*block)] += count
        return result

    def _call(self, function: str, arguments: tuple[Any, ...], watch: range | None) -> int:
        if function not in self.image.functions:
            raise EmulatorError(f"The image for {self.core} holds no function {function}.")
        self._top = self._heap
        self._laid: list[tuple[int, bytes, Buffer | None]] = []
        self._core.forget_callbacks()
        words = [self._place(argument) & 0xFFFFFFFF for argument in arguments]
        spilled = struct.pack(f"<{len(words[4:])}I", *words[4:])
        stack = (self._stack - len(spilled)) & ~7
        bottom = self._stack - _STACK_SIZE
        self._core.write(bottom, b"\x5a" * (stack - bottom) + spilled)
        saved = tuple(0xC0DE0000 + register for register in range(4, 12))
        given = (*(words[:4] + [0] * 4)[:4], *saved)
        try:
            ran = self._core.call(self.image.functions[function], given, stack, watch)
        except CallError as error:
            raise EmulatorError(f"{function} failed on {self.core} {error}.") from None
        if ran.stack != stack or ran.registers[4:] != saved:
            raise EmulatorError(f"{function} did not restore the registers it must preserve.")
        self._collect(function)
        self._ran, self._touched = ran.blocks[0], ran.touched
        left = self._core.read(bottom, _STACK_SIZE)
        self.stack_bytes = _STACK_SIZE - (len(left) - len(left.lstrip(b"\x5a"))) - len(spilled)
        return sum(self._instructions(block) * count for block, count in self._ran.items())

    def _instructions(self, block: tuple[int, int]) -> int:
        if block not in self._blocks:
            self._blocks[block] = count_instructions(self._core.read(*block))
        return self._blocks[block]

    def _place(self, argument: Any) -> int:
        if argument is None:
            return 0
        if isinstance(argument, Struct):
            fields = [self._place(field) & 0xFFFFFFFF for field in argument.fields]
            return self._lay(struct.pack(f"<{len(fields)}I", *fields), None, 0)
        if isinstance(argument, Buffer):
            return self._lay(argument.data.tobytes(), argument, argument.offset)
        if isinstance(argument, RowSource):
            address = (self._top + len(_GUARD) + 15) & ~15
            answer = functools.partial(self._deliver, argument)
            return self._lay(self._core.callback(address, answer), None, 0) | 1
        if isinstance(argument, np.ndarray):
            return self._lay(np.ascontiguousarray(argument).tobytes(), None, 0)
        return int(argument)

    def _lay(self, data: bytes, buffer: Buffer | None, offset: int) -> int:
        for address, _, other in self._laid:
            if buffer is not None and other is buffer:
                return address
        address = ((self._top + len(_GUARD) + 15) & ~15) + offset
        self._core.write(address - len(_GUARD), _GUARD + data + _GUARD)
        self._top = address + len(data) + len(_GUARD)
        self._laid.append((address, data, buffer))
        return address

    def _collect(self, function: str) -> None:
        for address, data, buffer in self._laid:
            size = len(data)
            found = self._core.read(address - len(_GUARD), size + 2 * len(_GUARD))
            inside = found[len(_GUARD) : len(_GUARD) + size]
            if found[: len(_GUARD)] != _GUARD or found[len(_GUARD) + size :] != _GUARD:
                raise EmulatorError(f"{function} wrote beside a buffer of {size} bytes.")
            if buffer is None and inside != data:
                raise EmulatorError(f"{function} wrote into a constant of {size} bytes.")
            if buffer is not None:
                shape, dtype = buffer.data.shape, buffer.data.dtype
                buffer.data = np.frombuffer(inside, dtype).reshape(shape).copy()

    def _deliver(self, source: RowSource, row: int, rows: int, pixels: int) -> None:
        source.asked.append((row, rows))
        self._core.write(pixels, source.image[row : row + rows].tobytes())


def _outside(
    stretches: Iterable[tuple[int, int]], inside: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    # Of stretches what lies in none of (start, end).
    for address, size in stretches:
        end = address + size
        for start, stop in sorted(inside):
            if stop > address and start < end:
                if start > address:
                    yield address, start - address
                address = stop
        if address < end:
            yield address, end - address


def count_instructions(code: bytes) -> int:
    """Returns the number of instructions in straight Thumb-2 code."""
    # Thumb-2: a first halfword of 0b11101, 0b11110 or 0b11111 has a second one.
    position = count = 0
    while position < len(code):
        wide = code[position + 1] >> 3 in (0b11101, 0b11110, 0b11111)
        position += 4 if wide else 2
        count += 1
    return count
