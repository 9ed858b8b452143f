"""Boards and their memories."""

from __future__ import annotations

import dataclasses
import difflib

from mcuformer_tflm.keras_models.checked_values import checked_type, checked_whole, entries, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError

_KIB = 1024


@dataclasses.dataclass(frozen=True)
class SramRegion:
    """One contiguous block of SRAM: its name, start address and size in bytes."""

    name: str
    address: int
    size: int

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If one is no name or no whole number.
        """
        checked_type("name", self.name, str)
        checked_whole("address", self.address, least=0)
        checked_whole("size", self.size)


def check_core(core: object) -> None:
    """Checks that a name is that of a Cortex-M, known here or not.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(core, str) or not core.startswith("cortex-m"):
        raise ConfigError(f"core is {core!r}; it must be a Cortex-M, such as 'cortex-m4'.")


@dataclasses.dataclass(frozen=True)
class Board:
    """A microcontroller, alone or with the memory of a board; all sizes in bytes.

    Attributes:
        name: What users type.
        core: ``cortex-m4`` or ``cortex-m7``.
        sram_regions: Blocks of SRAM, the one that is to hold the arena first.
        flash: The microcontroller's own flash.
        external_flash: Flash that the board adds, mapped into memory, or 0.
    """

    name: str
    core: str
    sram_regions: tuple[SramRegion, ...]
    flash: int
    _: dataclasses.KW_ONLY
    external_flash: int = 0

    def __post_init__(self) -> None:
        """Checks what others rely on.

        Raises:
            ConfigError: If the core is no Cortex-M, or there is no SRAM.
        """
        checked_type("name", self.name, str)
        check_core(self.core)
        regions = entries(self.sram_regions)
        if not regions:
            raise ConfigError(
                f"sram_regions is {shown(self.sram_regions)}; a board has a tuple of one or more."
            )
        for region in regions:
            checked_type("sram_regions", region, SramRegion)
        object.__setattr__(self, "sram_regions", regions)
        for field in ("flash", "external_flash"):
            checked_whole(field, getattr(self, field), least=0)

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


_STM32F746 = Board(
    "stm32f746",
    "cortex-m7",
    (SramRegion("sram", 0x20000000, 320 * _KIB),),
    flash=1024 * _KIB,
)
_BOARDS = {
    board.name: board
    for board in (
        # The paper's 256 KB are two blocks; parts with 1 MiB of flash exist too.
        Board(
            "stm32f427",
            "cortex-m4",
            (
                SramRegion("sram", 0x20000000, 192 * _KIB),
                SramRegion("ccm", 0x10000000, 64 * _KIB),
            ),
            flash=2048 * _KIB,
        ),
        _STM32F746,
        # ST's Discovery board adds 16 MiB of QSPI flash to the chip.
        dataclasses.replace(
            _STM32F746, name="stm32f746-discovery", external_flash=16 * 1024 * _KIB
        ),
        Board(
            "stm32h743",
            "cortex-m7",
            (
                SramRegion("axi", 0x24000000, 512 * _KIB),
                SramRegion("dtcm", 0x20000000, 128 * _KIB),
            ),
            flash=2048 * _KIB,
        ),
    )
}


def board_names() -> list[str]:
    """Returns the names of all known boards, sorted."""
    return sorted(_BOARDS)


def all_boards() -> list[Board]:
    """Returns all known boards, the user's own included, by name."""
    return [_BOARDS[name] for name in board_names()]


def get_board(name: str | Board) -> Board:
    """Returns a board by name, upper or lower case, or the board that is given itself.

    Raises:
        ConfigError: If there is none; names the boards, the most similar first.
    """
    if isinstance(name, Board):
        return name
    checked_type("board", name, str)
    if name.lower() in _BOARDS:
        return _BOARDS[name.lower()]
    near = difflib.get_close_matches(name.lower(), _BOARDS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"There is no board {name!r}; the known boards are {', '.join(board_names())}.{hint} "
        "Add your own with mcuformer_tflm.search.board.register_board(Board(...))."
    )


def register_board(board: Board) -> None:
    """Makes a board of the user's known by its name.

    Raises:
        ConfigError: If it is no board.
    """
    checked_type("board", board, Board)
    _BOARDS[board.name.lower()] = board
