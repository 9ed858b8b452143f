"""Instructions of one inference of a firmware image, operator by operator."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS, ArmBoard
from mcuformer_tflm.emulator.core import CallError, Core, Memory
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.machine import count_instructions
from mcuformer_tflm.emulator.qemu_core import QemuCore
from mcuformer_tflm.emulator.unicorn_core import UNICORN_CORES, UnicornCore
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.keras_models.images import check_integer_dtype

# In flash, behind every image that fits Unicorn's machines; nothing runs there.
_RETURN = 0x3FFF00
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
        core: One of ``ARM_BOARDS``.
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
        from elftools.elf.elffile import ELFFile

    board = ARM_BOARDS[core]
    segments: list[tuple[int, bytes]] = []
    with image.open("rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            if segment["p_filesz"]:
                segments.append((segment["p_vaddr"], segment.data()))
        symbols = {
            symbol.name: symbol["st_value"]
            for symbol in elf.get_section_by_name(".symtab").iter_symbols()
        }
    external = range(board.external.address, board.external.address + board.external.size)
    outside = [(address, address + len(data)) for address, data in segments if address in external]
    watch = None
    if outside and loads:  # such a watch makes every load slower
        watch = range(min(start for start, _ in outside), max(end for _, end in outside))
    # What runs before the first operator is the first part, as what `mcuformer_run` calls is.
    starts = [symbols[name] & ~1 for name in ("mcuformer_run_rows", *map(_mangled, operators))]
    machine = _core(core, board, starts)
    for address, data in segments:
        machine.write(address, data)
    bottom, top = symbols["__stack_bottom"], symbols["__stack_top"]
    machine.write(bottom, _PAINT * (top - bottom))
    pixels = picture.tobytes()
    output = board.beside.address + (len(pixels) + 63 & ~63)
    machine.write(board.beside.address, pixels)
    try:
        registers = (board.beside.address, output, *[0] * 10)
        ran = machine.call(symbols["mcuformer_run"] & ~1, registers, top, watch)
    except CallError as error:
        raise EmulatorError(f"{image.name} failed on {core} {error}.") from None
    if ran.registers[0] & 0xFF != 1:
        raise EmulatorError(f"{image.name} refused to run on {core}.")
    left = machine.read(bottom, top - bottom)
    executed: list[Counter[bytes]] = []
    for blocks in ran.blocks:
        executed.append(Counter())
        for block, times in blocks.items():  # several may be of the same bytes
            executed[-1][machine.read(*block)] += times
    instructions = [
        sum(count_instructions(code) * times for code, times in blocks.items())
        for blocks in executed
    ]
    # Operators run one after another; what follows the last counts as its own.
    return FirmwareCount(
        sum(instructions),
        dict(zip(operators, instructions[2:], strict=False)),
        len(left.lstrip(_PAINT)),
        np.frombuffer(machine.read(output, output_bytes), np.int8).copy(),
        sum(ran.loaded),
        dict(zip(operators, ran.loaded[2:], strict=False)),
        sum(executed, Counter()),
        dict(zip(operators, executed[2:], strict=False)),
    )


def _core(core: str, board: ArmBoard, starts: list[int]) -> Core:
    memories = [
        Memory(board.flash.address, board.flash.size, writable=False),
        Memory(board.external.address, board.external.size, writable=False),
        Memory(board.sram.address, board.sram.size),
        Memory(board.beside.address, board.beside.size),
    ]
    if core in UNICORN_CORES:
        return UnicornCore(core, memories, board.flash.address + _RETURN, starts)
    return QemuCore(core, memories, starts)


def _mangled(name: str) -> str:
    return f"_ZN12_GLOBAL__N_1{len(name)}{name}Ev"
