"""A board's linker scripts, its part of the build, and its memory protection, as files."""

from __future__ import annotations

import os
from pathlib import Path

from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS, emulated
from mcuformer_tflm.firmware.protection import ARMV8M, arena_alignment, cover, memories
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_choice, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, EmulatorError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.search.board import CORES, Board

_KIB = 1024
_SYSTEM_EXCEPTIONS = 16
_INTERRUPTS = 240
# Cores with caches of their own.
_CACHES = ("cortex-m55", "cortex-m7")
# What no macro of the compiler tells, or what it must: kernels/cortex_m/target.h.
_DEFINITIONS = {"cortex-m55": " -DMCUFORMER_HELIUM", "cortex-m7": " -DMCUFORMER_CORTEX_M7"}
_WRITTEN = "Written by `mcuformer firmware` for {}; written again, it is replaced."


def board_files(board: Board, start_up: AnyPath | None) -> dict[str, str]:
    """Returns the files of a project that a board alone decides, by path.

    ``board.cmake`` is the board's part of the build, ``board.ld`` its linker script,
    ``board_shape.h`` its part of the sources; the latter two once more in ``emulated``. Where the
    emulator has less memory than the board these are missing, and ``board.cmake`` says why.

    Args:
        board: The board.
        start_up: The project's source that runs first after reset.

    Raises:
        ConfigError: If firmware is not built for the core, or memory protection cannot be had for
            the memories.
    """
    checked_choice("core", board.core, tuple(CORES))
    source = None if start_up is None else checked_path("start_up", start_up)
    _check_vectors(board)
    alignment = arena_alignment(board)
    try:
        twin = emulated(board)
        arena_alignment(twin)
        why_not = ""
    except (ConfigError, EmulatorError) as error:
        twin, why_not = None, str(error)
    files = {
        "board.cmake": _cmake(board, source, why_not),
        "board.ld": _linker_script(board, alignment, ""),
        "board_shape.h": _header(board, []),
    }
    if twin is not None:
        machine = ARM_BOARDS[board.core].name
        note = f"\n   The same lengths where QEMU's {machine} has memory."
        files["emulated/board.ld"] = _linker_script(twin, alignment, note)
        files["emulated/board_shape.h"] = _header(twin, ["#define MCUFORMER_EMULATED", ""])
    return files


def find_start_up(board: Board, folder: AnyPath) -> Path | None:
    """Returns the source that runs first after reset on a board.

    Args:
        board: The board.
        folder: Where sources lie that boards name.

    Raises:
        ConfigError: If there is none of the name that the board gives; names those that there are.
    """
    if board.start_up is None:
        return None
    if board.start_up.endswith(".cc"):
        source = Path(board.start_up)
        if not os.path.isfile(source):
            raise ConfigError(f"start_up of {board.name} is {str(source)!r}, which is no file.")
        return source
    sources = checked_path("folder", folder)
    names = sorted(path.stem for path in sources.glob("*.cc"))
    return sources / f"{checked_choice(f'start_up of {board.name}', board.start_up, names)}.cc"


def _interrupts(board: Board) -> int:
    return _INTERRUPTS if board.interrupts is None else board.interrupts


def _check_vectors(board: Board) -> None:
    # Architecture Reference Manuals, VTOR: a multiple of the table's bytes, as a power of two.
    size = 4 * (_SYSTEM_EXCEPTIONS + _interrupts(board))
    multiple = max(128, 1 << (size - 1).bit_length())
    if board.flash_address % multiple:
        raise ConfigError(
            f"{board.name} has flash at 0x{board.flash_address:08x}; the vectors of "
            f"{_interrupts(board)} interrupts lie at a multiple of {multiple:,} bytes."
        )


def _linker_script(board: Board, alignment: int, note: str) -> str:
    names = [region.name.upper() for region in board.sram_regions]
    lines = [
        f"/* {_WRITTEN.format(board.name)}{note} */",
        "MEMORY {",
        f"  FLASH (rx) : {_place(board.flash_address, board.flash)}",
        *(
            f"  {name} (rw) : {_place(region.address, region.size)}"
            for name, region in zip(names, board.sram_regions, strict=True)
        ),
    ]
    if board.external_flash:
        place = _place(board.external_flash_address, board.external_flash)
        lines += [f"  EXTERNAL_FLASH (r) : {place}", "}"]
    else:
        lines += ["}", 'REGION_ALIAS("EXTERNAL_FLASH", FLASH)']
    lines += [
        f'REGION_ALIAS("ARENA_RAM", {names[0]})',
        f'REGION_ALIAS("CORE_RAM", {names[-1]})',
        f"ARENA_ALIGNMENT = {alignment};",
        *(
            f"SECTIONS {{ .arena_{i} (NOLOAD) : {{ *(.bss.mcuformer.arena_{i}) }} > {name} }}"
            for i, name in enumerate(names[1:-1], 1)
        ),
        "INCLUDE sections.ld",
    ]
    return "\n".join(lines) + "\n"


def _place(address: int, size: int) -> str:
    length = f"{size // _KIB}K" if size % _KIB == 0 else str(size)
    return f"ORIGIN = 0x{address:08x}, LENGTH = {length}"


def _cmake(board: Board, start_up: Path | None, why_not: str) -> str:
    fpu = board.fpu or CORES[board.core][0]
    own_loops = _DEFINITIONS.get(board.core, "")
    source = "" if start_up is None else f" ${{CMAKE_CURRENT_LIST_DIR}}/{start_up.as_posix()}"
    return f"""\
# {_WRITTEN.format(board.name)}
set(MCUFORMER_BOARD {board.name})
set(MCUFORMER_MEGAHERTZ {board.megahertz or 0}) # 0: the board does not tell
set(MCUFORMER_CPU -mcpu={board.core} -mfpu={fpu} -mfloat-abi=hard -mthumb{own_loops})
# Whether the core has caches of its own.
set(MCUFORMER_CACHES {"ON" if board.core in _CACHES else "OFF"})
# Memory protection: ARMv7-M's or ARMv8-M's.
set(MCUFORMER_PROTECTION {"armv8m" if board.core in ARMV8M else "armv7m"})
# What runs first after reset: clocks, flash. Nothing where it is empty.
set(MCUFORMER_START_UP{source})
# Why it cannot be linked for the emulator, if it cannot.
set(MCUFORMER_NOT_EMULATED "{allowed(why_not, "comment")}")
"""


def _header(board: Board, definitions: list[str]) -> str:
    return "\n".join(
        [
            f"// {_WRITTEN.format(board.name)}",
            "#ifndef MCUFORMER_BOARD_SHAPE_H_",
            "#define MCUFORMER_BOARD_SHAPE_H_",
            "",
            '#include "board/protection.h"',
            "",
            *definitions,
            "namespace mcuformer {",
            "",
            "// Interrupts that have a vector.",
            f"constexpr int kInterrupts = {_interrupts(board)};",
            "",
            *_table(board),
            "",
            "}  // namespace mcuformer",
            "",
            "#endif  // MCUFORMER_BOARD_SHAPE_H_",
            "",
        ]
    )


def _table(board: Board) -> list[str]:
    rows = []
    for memory in memories(board):
        end = memory.address + memory.size - 1
        about = f"  // {memory.name}"
        if board.core in ARMV8M:
            rows.append(f"    {{0x{memory.address:08x}, 0x{end:08x}, {memory.access}}},{about}")
        else:
            rows += [
                f"    {{0x{region.base:08x}, {region.log2_bytes}, 0x{region.disabled:02x}, "
                f"{memory.access}}},{about}, 0x{region.extent[0]:08x} to 0x{region.extent[-1]:08x}"
                for region in cover(memory.address, memory.size)
            ]
    return ["constexpr Protected kProtected[] = {", *rows, "};"]
