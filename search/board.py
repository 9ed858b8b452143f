"""Boards and their memories."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import os
import re
from collections.abc import Iterator

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_real,
    checked_type,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board_file import BOARD_FOLDER, SUFFIX, read_fields

# Cores that firmware is built for, each with its floating-point units, the usual one first.
CORES = {
    "cortex-m33": ("fpv5-sp-d16",),
    "cortex-m4": ("fpv4-sp-d16",),
    "cortex-m55": ("auto",),  # what -mcpu says: with Helium
    "cortex-m7": ("fpv5-sp-d16", "fpv5-d16"),
}
# Names of memory in every linker script.
_TAKEN = ("FLASH", "EXTERNAL_FLASH", "ARENA_RAM", "CORE_RAM")
_END = 1 << 32
# Of ARMv8-M; an ARMv7-M has up to 240 (496 in the architecture).
_MOST_INTERRUPTS = 480


def _check_name(field: str, value: object, pattern: str, allowed: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
        raise ConfigError(f"{field} is {shown(value)}; allowed are {allowed}.")


@dataclasses.dataclass(frozen=True)
class SramRegion:
    """One contiguous block of memory, SRAM mostly: its name, start address and size in bytes."""

    name: str
    address: int
    size: int

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If one is no name or no whole number.
        """
        _check_name("name", self.name, r"[A-Za-z]\w*", "a letter, then letters, digits and _")
        checked_whole("address", self.address, least=0)
        checked_whole("size", self.size)


def check_core(core: object) -> None:
    """Checks that a name is that of a Cortex-M, known here or not.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(core, str) or not core.startswith("cortex-m"):
        raise ConfigError(f"core is {core!r}; it must be a Cortex-M, such as 'cortex-m4'.")


# Where the architecture has them (Architecture Reference Manuals, "The system address map").
PERIPHERALS = (SramRegion("peripherals", 0x40000000, 1 << 29),)


@dataclasses.dataclass(frozen=True)
class Board:
    """A microcontroller, alone or with the memory of a board; all sizes in bytes.

    Attributes:
        name: What users type.
        core: ``cortex-m4``, ``cortex-m7``, ``cortex-m33`` or ``cortex-m55``. A search takes any
            other Cortex-M too.
        sram_regions: Blocks of SRAM: the first holds the arena, the last stack and variables.
        flash: The microcontroller's own flash, in which the program lies.
        external_flash: Flash that the board adds, mapped into memory, or 0.
        flash_address: Where ``flash`` begins.
        external_flash_address: Where ``external_flash`` begins.
        external_bytes_per_second: Speed at which ``external_flash`` is read; 0 if it is not known.
        megahertz: The core's clock; None if it is not known.
        cycles_per_instruction: Measured on the board; None for the estimate.
        interrupts: Interrupts that have a vector, at least as many as the chip has; None for as
            many as 240, the most that most Cortex-M can have.
        fpu: Floating-point unit, ``-mfpu`` of the compiler; None for the core's usual one.
        peripherals: Blocks of registers that a program may reach.
        start_up: What runs first after reset: the name of a source that the firmware has, or the
            path of a ``.cc``. None leaves clocks and caches of flash as reset does.
    """

    name: str
    core: str
    sram_regions: tuple[SramRegion, ...]
    flash: int
    _: dataclasses.KW_ONLY
    external_flash: int = 0
    flash_address: int = 0x08000000
    external_flash_address: int = 0x90000000
    external_bytes_per_second: int = 0
    megahertz: int | None = None
    cycles_per_instruction: float | None = None
    interrupts: int | None = None
    fpu: str | None = None
    peripherals: tuple[SramRegion, ...] = PERIPHERALS
    start_up: str | None = None

    def __post_init__(self) -> None:
        """Checks what others rely on.

        Raises:
            ConfigError: If the core is no Cortex-M, there is no SRAM, or memories overlap.
        """
        _check_name("name", self.name, r"[A-Za-z0-9][\w.-]*", "letters, digits, '.', '_' and '-'")
        check_core(self.core)
        for field in ("sram_regions", "peripherals"):
            regions = entries(value := getattr(self, field))
            if not regions:
                raise ConfigError(f"{field} is {shown(value)}; a board has a tuple of one or more.")
            for region in regions:
                checked_type(field, region, SramRegion)
            object.__setattr__(self, field, regions)
        for field in ("flash", "external_flash", "flash_address", "external_flash_address",
                      "external_bytes_per_second"):  # fmt: skip
            checked_whole(field, getattr(self, field), least=0)
        if self.megahertz is not None:
            checked_whole("megahertz", self.megahertz)
        if self.interrupts is not None:
            checked_whole("interrupts", self.interrupts, most=_MOST_INTERRUPTS)
        if self.cycles_per_instruction is not None:
            checked_real("cycles_per_instruction", self.cycles_per_instruction, open_below=True)
        if self.fpu is not None:
            checked_choice("core", self.core, tuple(CORES))
            checked_choice("fpu", self.fpu, CORES[self.core])
        if self.start_up is not None:
            _check_name("start_up", self.start_up, r"\w+|.*\.cc", "a name, or the path of a .cc")
        self._check_memories()

    def _check_memories(self) -> None:
        names = [region.name.upper() for region in self.sram_regions]
        for name in names:
            if name in _TAKEN or names.count(name) > 1:
                raise ConfigError(
                    f"sram_regions has {name.lower()!r} "
                    + ("as a name, which is taken." if name in _TAKEN else "twice.")
                )
        memories = sorted(self._memories(), key=lambda memory: memory.address)
        for memory in memories:
            if memory.address + memory.size > _END:
                raise ConfigError(f"{_extent(memory)} ends beyond 32 bits of address.")
        for one, other in itertools.pairwise(memories):
            if one.address + one.size > other.address:
                raise ConfigError(f"{_extent(one)} and {_extent(other)} overlap.")

    def _memories(self) -> Iterator[SramRegion]:
        yield from self.sram_regions
        yield from self.peripherals
        if self.flash:
            yield SramRegion("flash", self.flash_address, self.flash)
        if self.external_flash:
            yield SramRegion("external_flash", self.external_flash_address, self.external_flash)

    @property
    def sram(self) -> int:
        """All SRAM, in bytes."""
        return sum(region.size for region in self.sram_regions)

    @property
    def arena_budget(self) -> int:
        """The largest contiguous block of SRAM, in bytes: one arena lies in one block."""
        return max(region.size for region in self.sram_regions)

    @property
    def flash_budget(self) -> int:
        """Internal and external flash together, in bytes."""
        return self.flash + self.external_flash


def _extent(memory: SramRegion) -> str:
    end = memory.address + memory.size - 1
    return f"{memory.name} (0x{memory.address:08x} to 0x{end:08x})"


def read_board(path: AnyPath) -> Board:
    """Reads a board from its TOML file (docs/own-board.md).

    Raises:
        ConfigError: If the file cannot be read or a value in it is wrong; names file and field.
    """
    fields = read_fields(path)
    try:
        checked_choice("core", fields["core"], tuple(CORES))
        for field in ("sram_regions", "peripherals"):
            if field in fields:
                fields[field] = tuple(SramRegion(**region) for region in fields[field])
        return Board(**fields)
    except ConfigError as error:
        raise ConfigError(f"{os.fspath(path)}: {error}") from None


_BOARDS = {path.stem: read_board(path) for path in sorted(BOARD_FOLDER.glob(f"*{SUFFIX}"))}


def board_names() -> list[str]:
    """Returns the names of all known boards, sorted."""
    return sorted(_BOARDS)


def all_boards() -> list[Board]:
    """Returns all known boards, the user's own included, by name."""
    return [_BOARDS[name] for name in board_names()]


def get_board(name: AnyPath | Board) -> Board:
    """Returns a board by its name, upper or lower case, or by its TOML file.

    Args:
        name: A known board's name, the path of a ``.toml`` (docs/own-board.md), or the board
            itself.

    Raises:
        ConfigError: If there is none, with the known boards, the most similar first; or if the
            file is wrong.
    """
    if isinstance(name, Board):
        return name
    if isinstance(name, os.PathLike):
        return read_board(name)
    checked_type("board", name, str)
    if name.lower().endswith(SUFFIX) or os.sep in name:
        return read_board(name)
    if name.lower() in _BOARDS:
        return _BOARDS[name.lower()]
    near = difflib.get_close_matches(name.lower(), _BOARDS, n=1)
    if os.path.isfile(name + SUFFIX):
        near = [name + SUFFIX]
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"There is no board {shown(name)}; the known boards are {', '.join(board_names())}.{hint} "
        "Describe your own in a .toml file and give its path (docs/own-board.md)."
    )


def register_board(board: Board) -> None:
    """Makes a board of the user's known by its name.

    Raises:
        ConfigError: If it is no board.
    """
    checked_type("board", board, Board)
    _BOARDS[board.name.lower()] = board
