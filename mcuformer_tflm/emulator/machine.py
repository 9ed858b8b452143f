"""A Cortex-M that runs one function at a time and counts its instructions (Unicorn)."""

from __future__ import annotations

import functools
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.toolchain import KernelImage, build_kernels
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import EmulatorError

_FLASH, _FLASH_SIZE = 0x0, 0x400000
_RAM, _RAM_SIZE = 0x20000000, 0x2000000
_HEAP = _RAM + 0x10000
_STACK = _RAM + _RAM_SIZE
_STACK_SIZE = 0x4000
_RETURN = _FLASH + 0x200
_BX_LR = b"\x70\x47"
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
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m33``.
        portable: Without the code that is tuned for the core.
    """
    return Machine(core, build_kernels(core, portable))


class Machine:
    """An emulated core with the kernels in its flash.

    Args:
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m33``.
        image: The compiled kernels.
    """

    def __init__(self, core: str, image: KernelImage) -> None:
        """Loads the image."""
        with emulator_extra():
            import unicorn
            from unicorn import arm_const

        self.core, self.image = core, image
        self._registers = arm_const
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(core_model(core))
        read, execute = unicorn.UC_PROT_READ, unicorn.UC_PROT_EXEC
        self._uc.mem_map(_FLASH, _FLASH_SIZE, read | execute)
        self._uc.mem_map(_RAM, _RAM_SIZE)
        for address, data in image.segments:
            self._uc.mem_write(address, data)
        self._blocks: dict[int, int] = {}  # instructions of blocks, by address and size
        self._ran: Counter[int] = Counter()
        self._row_sources: dict[int, RowSource] = {}
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._count)
        self._error = unicorn.UcError

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
        self._top = _HEAP
        self._laid: list[tuple[int, bytes, Buffer | None]] = []
        self._row_sources.clear()
        words = [self._place(argument) & 0xFFFFFFFF for argument in arguments]
        regs = self._registers
        for register, word in zip(
            (regs.UC_ARM_REG_R0, regs.UC_ARM_REG_R1, regs.UC_ARM_REG_R2, regs.UC_ARM_REG_R3),
            words,
            strict=False,
        ):
            self._uc.reg_write(register, word)
        spilled = struct.pack(f"<{len(words[4:])}I", *words[4:])
        stack = (_STACK - len(spilled)) & ~7
        self._uc.mem_write(_STACK - _STACK_SIZE, b"\x5a" * (_STACK_SIZE - (_STACK - stack)))
        self._uc.mem_write(stack, spilled)
        self._uc.reg_write(regs.UC_ARM_REG_SP, stack)
        self._uc.reg_write(regs.UC_ARM_REG_LR, _RETURN | 1)
        saved = [getattr(regs, f"UC_ARM_REG_R{i}") for i in range(4, 12)]
        for register in saved:
            self._uc.reg_write(register, 0xC0DE0000 + register)
        self._ran.clear()
        try:
            self._uc.emu_start(self.image.functions[function] | 1, _RETURN)
        except self._error as error:
            pc = self._uc.reg_read(regs.UC_ARM_REG_PC)
            raise EmulatorError(f"{function} failed at 0x{pc:x} on {self.core}: {error}.") from None
        if self._uc.reg_read(regs.UC_ARM_REG_SP) != stack or any(
            self._uc.reg_read(register) != 0xC0DE0000 + register for register in saved
        ):
            raise EmulatorError(f"{function} did not restore the registers it must preserve.")
        self._collect(function)
        left = bytes(self._uc.mem_read(_STACK - _STACK_SIZE, _STACK_SIZE))
        self.stack_bytes = _STACK_SIZE - (len(left) - len(left.lstrip(b"\x5a"))) - len(spilled)
        return sum(self._blocks[block] * count for block, count in self._ran.items())

    def reads_beside(self, function: str, *arguments: Any) -> list[str]:
        """Runs a function as ``call`` does, slowly; tells its reads beside its arguments."""
        import unicorn

        read: set[tuple[int, int]] = set()
        hook = self._uc.hook_add(
            unicorn.UC_HOOK_MEM_READ,
            lambda uc, access, address, size, value, _: read.add((address, size)),
            begin=_HEAP, end=_STACK - _STACK_SIZE - 1,
        )  # fmt: skip
        try:
            self.call(function, *arguments)
        finally:
            self._uc.hook_del(hook)
        laid = [(start, start + len(data)) for start, data, _ in self._laid]
        return [
            f"{size} bytes at {address:#x}"
            for address, size in sorted(read)
            if not any(start <= address and address + size <= end for start, end in laid)
        ]

    def executed(self) -> Counter[bytes]:
        """Returns how often each block of code ran in the last call, by its bytes."""
        result: Counter[bytes] = Counter()
        for block, count in self._ran.items():
            result[bytes(self._uc.mem_read(block >> 16, block & 0xFFFF))] += count
        return result

    def _place(self, argument: Any) -> int:
        if argument is None:
            return 0
        if isinstance(argument, Struct):
            fields = [self._place(field) & 0xFFFFFFFF for field in argument.fields]
            return self._lay(struct.pack(f"<{len(fields)}I", *fields), None, 0)
        if isinstance(argument, Buffer):
            return self._lay(argument.data.tobytes(), argument, argument.offset)
        if isinstance(argument, RowSource):
            address = self._lay(_BX_LR, None, 0)
            self._row_sources[address] = argument
            return address | 1
        if isinstance(argument, np.ndarray):
            return self._lay(np.ascontiguousarray(argument).tobytes(), None, 0)
        return int(argument)

    def _lay(self, data: bytes, buffer: Buffer | None, offset: int) -> int:
        for address, _, other in self._laid:
            if buffer is not None and other is buffer:
                return address
        address = ((self._top + len(_GUARD) + 15) & ~15) + offset
        self._uc.mem_write(address - len(_GUARD), _GUARD + data + _GUARD)
        self._top = address + len(data) + len(_GUARD)
        self._laid.append((address, data, buffer))
        return address

    def _collect(self, function: str) -> None:
        for address, data, buffer in self._laid:
            size = len(data)
            found = bytes(self._uc.mem_read(address - len(_GUARD), size + 2 * len(_GUARD)))
            inside = found[len(_GUARD) : len(_GUARD) + size]
            if found[: len(_GUARD)] != _GUARD or found[len(_GUARD) + size :] != _GUARD:
                raise EmulatorError(f"{function} wrote beside a buffer of {size} bytes.")
            if buffer is None and inside != data:
                raise EmulatorError(f"{function} wrote into a constant of {size} bytes.")
            if buffer is not None:
                shape, dtype = buffer.data.shape, buffer.data.dtype
                buffer.data = np.frombuffer(inside, dtype).reshape(shape).copy()

    def _deliver(self, source: RowSource) -> None:
        regs = self._registers
        row, rows, pixels = (
            self._uc.reg_read(register)
            for register in (regs.UC_ARM_REG_R1, regs.UC_ARM_REG_R2, regs.UC_ARM_REG_R3)
        )
        source.asked.append((row, rows))
        self._uc.mem_write(pixels, source.image[row : row + rows].tobytes())
        self._uc.reg_write(regs.UC_ARM_REG_R0, 1)

    def _count(self, uc: Any, address: int, size: int, _: Any) -> None:
        if address in self._row_sources:
            self._deliver(self._row_sources[address])
        block = (address << 16) | size
        if block not in self._blocks:
            self._blocks[block] = count_instructions(bytes(uc.mem_read(address, size)))
        self._ran[block] += 1


def core_model(core: str) -> int:
    """Returns Unicorn's number of a core.

    Raises:
        ConfigError: If it has none.
        ToolchainError: If the extra ``emulator`` is missing.
    """
    with emulator_extra():
        from unicorn import arm_const

    models = {
        "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
        "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
        "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    }
    return int(models[checked_choice("core", core, tuple(models))])


def count_instructions(code: bytes) -> int:
    """Returns the number of instructions in straight Thumb-2 code."""
    # Thumb-2: a first halfword of 0b11101, 0b11110 or 0b11111 has a second one.
    position = count = 0
    while position < len(code):
        wide = code[position + 1] >> 3 in (0b11101, 0b11110, 0b11111)
        position += 4 if wide else 2
        count += 1
    return count
