"""Arm's boards that QEMU emulates, and where on them the memories of another board lie."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.search.board import PERIPHERALS, Board, SramRegion

_MIB = 1 << 20
# Regions begin at multiples of the largest of these with which all find room.
_STEPS = tuple(1 << bits for bits in range(21, 11, -1))


@dataclasses.dataclass(frozen=True)
class ArmBoard:
    """A machine of QEMU (its sources: hw/arm/mps2.c, hw/arm/mps2-tz.c) and its memory.

    Attributes:
        name: QEMU's name.
        flash: Memory in which images start.
        sram: Memory that is written.
        external: More memory, for what lies in external flash.
        beside: Memory that no firmware has, in which a picture and logits lie where an inference
            alone is counted. QEMU's machine need not have it.
    """

    name: str
    flash: SramRegion
    sram: SramRegion
    external: SramRegion
    beside: SramRegion

    @property
    def starts_at_zero(self) -> bool:
        """Whether it loads its first vectors from address 0, where no flash of it lies."""
        return self.name == "mps3-an547"


def _arm_board(
    name: str, flash: int, sram: int, external: int, mebibytes: tuple[int, int, int] = (4, 4, 16),
    beside: int = 0x70000000,
) -> ArmBoard:  # fmt: skip
    sizes = [size * _MIB for size in mebibytes]
    return ArmBoard(
        name,
        SramRegion("flash", flash, sizes[0]),
        SramRegion("sram", sram, sizes[1]),
        SramRegion("external_flash", external, sizes[2]),
        SramRegion("beside", beside, 16 * _MIB),
    )


# By core. The M33 and the M55 start in secure state, and only addresses with bit 28 are secure
# memory; of the M55's machine this is all in its large one.
ARM_BOARDS = {
    "cortex-m33": _arm_board("mps2-an505", 0x10000000, 0x38000000, 0x80000000),
    "cortex-m4": _arm_board("mps2-an386", 0x00000000, 0x20000000, 0x21000000),
    "cortex-m55": _arm_board(
        "mps3-an547", 0x70000000, 0x7C000000, 0x72000000, (32, 16, 128), beside=0x7D000000
    ),
    "cortex-m7": _arm_board("mps2-an500", 0x00000000, 0x20000000, 0x60000000),
}


def emulated(board: Board) -> Board:
    """Returns a board with the same lengths of memory at addresses where QEMU has some.

    Peripherals are the machine's. SRAM that the machine has at the same address stays there; the
    rest is laid out with gaps, so that a stray access beside it shows.

    Raises:
        ConfigError: If no machine has the board's core.
        EmulatorError: If the machine has less memory than the board; says which and how much.
    """
    machine = ARM_BOARDS[checked_choice("core", board.core, tuple(ARM_BOARDS))]
    for name, wanted, there in (
        ("flash", board.flash, machine.flash.size),
        ("external flash", board.external_flash, machine.external.size),
        ("SRAM", board.sram, machine.sram.size),
    ):
        if wanted > there:
            raise EmulatorError(
                f"{board.name} has {wanted:,} bytes of {name}, {wanted - there:,} more than "
                f"{machine.name}, on which QEMU emulates a {board.core}."
            )
    return dataclasses.replace(
        board,
        sram_regions=_lay(board, machine),
        flash_address=machine.flash.address,
        external_flash_address=machine.external.address,
        peripherals=PERIPHERALS,
    )


def _lay(board: Board, machine: ArmBoard) -> tuple[SramRegion, ...]:
    for step in _STEPS:
        laid: dict[str, SramRegion] = {
            region.name: region for region in board.sram_regions if _within(region, machine.sram)
        }
        for region in board.sram_regions:
            if region.name not in laid:
                starts = range(machine.sram.address, _end(machine.sram), step)
                places = (dataclasses.replace(region, address=start) for start in starts)
                free = (
                    place
                    for place in places
                    if _within(place, machine.sram)
                    and all(_apart(place, other) for other in laid.values())
                )
                if (place := next(free, None)) is None:
                    break
                laid[region.name] = place
        else:
            return tuple(laid[region.name] for region in board.sram_regions)
    raise EmulatorError(
        f"{board.name} has SRAM in {len(board.sram_regions)} regions, {board.sram:,} bytes in all, "
        f"for which {machine.name}, on which QEMU emulates a {board.core}, has no room."
    )


def _end(region: SramRegion) -> int:
    return region.address + region.size


def _within(region: SramRegion, outer: SramRegion) -> bool:
    return outer.address <= region.address and _end(region) <= _end(outer)


def _apart(one: SramRegion, other: SramRegion) -> bool:
    return _end(one) <= other.address or _end(other) <= one.address
