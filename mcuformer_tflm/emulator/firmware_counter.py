"""Instructions of one inference of a firmware image, operator by operator (Unicorn)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.machine import count_instructions
from mcuformer_tflm.emulator.unicorn_core import core_model
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.keras_models.images import check_integer_dtype

# In flash, behind every image that fits the machine; nothing runs there.
_RETURN = 0x3FFF00
# Beside all memory of a board: the picture and the logits.
_BUFFERS, _BUFFER_SIZE = 0x70000000, 0x1000000
_PAINT = b"\x5a"


@dataclasses.dataclass(frozen=True)
class FirmwareCount:
    """One inference, counted.

    Attributes:
        instructions: All instructions of ``mcuformer_run``.
        by_operator: Instructions of each operator's function, in order of execution.
        stack_bytes: The most bytes of stack in use.
        output: int8 logits.
        external_bytes_read: Bytes that instructions loaded from external flash, each time anew: no
            cache is modelled.
        external_by_operator: Those of each operator's function, in order of execution.
        executed: How often each block of code ran, by its bytes.
        executed_by_operator: Those of each operator's function, in order of execution.
    """

    instructions: int
    by_operator: dict[str, int]
    stack_bytes: int
    output: np.ndarray
    external_bytes_read: int
    external_by_operator: dict[str, int]
    executed: Counter[bytes]
    executed_by_operator: dict[str, Counter[bytes]]


def count_inference(
    image: Path,
    core: str,
    picture: np.ndarray,
    output_bytes: int,
    operators: list[str],
    *,
    loads: bool = True,
) -> FirmwareCount:
    """Runs ``mcuformer_run`` of an image once.

    The count is the same on every run: no cycle is modelled, no time measured.

    Args:
        image: ELF file that was linked for the emulator.
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m33``.
        picture: int8 pixels.
        output_bytes: Bytes of logits.
        operators: Names of the operators' functions, in order.
        loads: Whether bytes from external flash are counted, which takes several times as long.

    Raises:
        DataError: If the picture is not int8.
        EmulatorError: If the program leaves its memory, writes to flash, or refuses.
    """
    check_integer_dtype(picture)
    with emulator_extra():
        import unicorn
        from elftools.elf.elffile import ELFFile
        from unicorn import arm_const as registers

    machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    machine.ctl_set_cpu_model(core_model(core))
    board = ARM_BOARDS[core]
    readable = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
    machine.mem_map(board.flash.address, board.flash.size, readable)
    machine.mem_map(board.external.address, board.external.size, readable)
    machine.mem_map(board.sram.address, board.sram.size)
    machine.mem_map(_BUFFERS, _BUFFER_SIZE)
    outside = range(board.external.address, board.external.address + board.external.size)
    reads_external = False
    with image.open("rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            if segment["p_filesz"]:
                machine.mem_write(segment["p_vaddr"], segment.data())
                reads_external |= segment["p_vaddr"] in outside
        symbols = {
            symbol.name: symbol["st_value"]
            for symbol in elf.get_section_by_name(".symtab").iter_symbols()
        }
    starts = {symbols[_mangled(name)] & ~1: name for name in operators}
    run = symbols["mcuformer_run_rows"] & ~1
    counter = _Counter(machine, starts, run)
    machine.hook_add(unicorn.UC_HOOK_BLOCK, counter.count)
    if reads_external and loads:  # such a hook makes every load slower
        machine.hook_add(
            unicorn.UC_HOOK_MEM_READ, counter.load, begin=outside.start, end=outside.stop - 1
        )
    bottom, top = symbols["__stack_bottom"], symbols["__stack_top"]
    machine.mem_write(bottom, _PAINT * (top - bottom))
    pixels = picture.tobytes()
    output = _BUFFERS + (len(pixels) + 63 & ~63)
    machine.mem_write(_BUFFERS, pixels)
    end = board.flash.address + _RETURN
    for register, value in (("R0", _BUFFERS), ("R1", output), ("SP", top), ("LR", end | 1)):
        machine.reg_write(getattr(registers, f"UC_ARM_REG_{register}"), value)
    try:
        machine.emu_start(symbols["mcuformer_run"] | 1, end)
    except unicorn.UcError as error:
        pc = machine.reg_read(registers.UC_ARM_REG_PC)
        raise EmulatorError(f"{image.name} failed at 0x{pc:x} on {core}: {error}.") from None
    if machine.reg_read(registers.UC_ARM_REG_R0) & 0xFF != 1:
        raise EmulatorError(f"{image.name} refused to run on {core}.")
    left = bytes(machine.mem_read(bottom, top - bottom))
    ran = counter.executed()
    return FirmwareCount(
        counter.total,
        {name: counter.by_start[start] for start, name in starts.items()},
        len(left.lstrip(_PAINT)),
        np.frombuffer(bytes(machine.mem_read(output, output_bytes)), np.int8).copy(),
        sum(counter.loaded.values()),
        {name: counter.loaded[start] for start, name in starts.items()},
        sum(ran.values(), Counter()),
        {name: ran[start] for start, name in starts.items()},
    )


class _Counter:
    def __init__(self, machine: Any, starts: dict[int, str], run: int) -> None:
        self.total = 0
        self.by_start = dict.fromkeys([*starts, run], 0)
        self.loaded = dict(self.by_start)
        self._machine, self._run, self._current = machine, run, run
        self._sizes: dict[tuple[int, int], int] = {}
        self._ran: Counter[tuple[int, int, int]] = Counter()

    def count(self, machine: Any, address: int, size: int, _: Any) -> None:
        instructions = self._sizes.get((address, size))
        if instructions is None:
            instructions = count_instructions(bytes(machine.mem_read(address, size)))
            self._sizes[address, size] = instructions
        # Operators run one after another; what follows the last counts as its own.
        if address in self.by_start:
            self._current = address
        self.by_start[self._current] += instructions
        self.total += instructions
        self._ran[self._current, address, size] += 1

    def executed(self) -> dict[int, Counter[bytes]]:
        """Returns how often each block of code ran, by the start of the operator's function."""
        result: dict[int, Counter[bytes]] = {start: Counter() for start in self.by_start}
        for (start, address, size), count in self._ran.items():
            result[start][bytes(self._machine.mem_read(address, size))] += count
        return result

    def load(self, machine: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        self.loaded[self._current] += size


def _mangled(name: str) -> str:
    return f"_ZN12_GLOBAL__N_1{len(name)}{name}Ev"
