"""The boards that have a start-up, on the model."""

import dataclasses

from .chip import Chip
from .flash import FlashF, FlashH7
from .gpio import Port
from .n25q128a import N25q128a
from .pwr import AxiInterconnect, Dbgmcu, PwrF, PwrH7, Syscfg
from .quadspi import QuadSpi
from .rcc import MHZ, RccF, RccH7
from .rules import require


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What start-up has set.

    Attributes:
        clocks: Hertz by name.
        wait_states: Of internal flash.
        accelerators: Prefetch and caches of internal flash that are on.
        devices: (register of RCC, bits) of clocks of devices that are on.
        quadspi: Hertz, lines of data, dummy cycles, and the flash's volatile configuration, of
            external flash that is mapped; or None.
    """

    clocks: dict
    wait_states: int
    accelerators: tuple
    devices: tuple
    quadspi: tuple | None


def outcome(chip):
    """What a chip has been set to, once everything that was set off has come."""
    require(not chip.still_late(), f"start-up waits for {chip.still_late()}", "-")
    require(chip.rcc.confirmed, "the system clock is confirmed by SWS",
            chip.flash.wait_state_section)  # fmt: skip
    quadspi = None
    if "QUADSPI" in chip.blocks:
        quadspi = chip.quadspi
        for offset in (0, 4, quadspi.memory.SIZE - 4):
            expected = stored(offset, 4)
            require(quadspi.read_mapped(offset, 4) == expected, "memory gives what is stored", "-")
        frame = quadspi.frame()
        told = quadspi.memory.volatile_configuration
        quadspi = (frame.hertz, frame.lines[3], frame.dummy, told)
    accelerators = tuple(name for name in chip.flash.accelerators if chip.flash["ACR"][name])
    devices = tuple(chip.rcc.enabled_clocks())
    return Outcome(chip.rcc.frequencies(), chip.flash.effective, accelerators, devices, quadspi)


def stored(offset, size):
    """Bytes of the external flash."""
    return bytes((place * 7 + (place >> 8)) % 256 for place in range(offset, offset + size))


def stm32f427(**options):
    """An STM32F427 (RM0090 3.5.1: HCLK by scale, without and with over-drive)."""
    chip = Chip(**options)
    highest = {1: (168, 180), 2: (144, 168), 3: (120, 120)}
    section = "RM0090 5.1.4, entering over-drive mode"
    chip.add(RccF(chip, "RM0090 6", hse=None, sysclk=180 * MHZ, apb1=45 * MHZ, apb2=90 * MHZ,
                  has_quadspi=False))  # fmt: skip
    chip.add(PwrF(chip, "RM0090 5", section, _hertz(highest), has_cwuf=True))
    caches = {"ICEN": (9, 1), "DCEN": (10, 1), "ICRST": (11, 1), "DCRST": (12, 1)}
    chip.add(FlashF(chip, "RM0090 3", "RM0090 3.5.1, table 12", caches))
    return chip


def stm32f746(*, hse=None, **options):
    """An STM32F746 (RM0385 3.3.2: HCLK by scale, without and with over-drive)."""
    chip = Chip(**options)
    highest = {1: (180, 216), 2: (168, 180), 3: (144, 144)}
    section = "RM0385 4.1.4, entering over-drive mode"
    chip.add(RccF(chip, "RM0385 5", hse=hse, sysclk=216 * MHZ, apb1=54 * MHZ, apb2=108 * MHZ,
                  has_quadspi=True))  # fmt: skip
    chip.add(PwrF(chip, "RM0385 4", section, _hertz(highest), has_cwuf=False))
    caches = {"ARTEN": (9, 1), "ARTRST": (11, 1)}
    chip.add(FlashF(chip, "RM0385 3", "RM0385 3.3.2", caches))
    return chip


def stm32f746_discovery(*, flash=None, **options):
    """ST's STM32F746G-DISCO: a crystal of 25 MHz, and a flash at QUADSPI (UM1907)."""
    chip = stm32f746(hse=25 * MHZ, **options)
    chip.add(Port(chip, "B", moder=0x280, ospeedr=0xC0, pupdr=0x100))
    chip.add(Port(chip, "D"))
    chip.add(Port(chip, "E"))
    chip.add(QuadSpi(chip, flash or N25q128a(stored)))
    return chip


def stm32h743(*, revision=0x2003, **options):
    """An STM32H743 of a revision: 0x1003 is Y, 0x2001 X, 0x2003 V (RM0433 60, DBGMCU_IDCODE)."""
    chip = Chip(**options)
    has_vos0 = revision >= 0x2003
    chip.add(RccH7(chip, highest_vco=(960 if has_vos0 else 836) * MHZ))
    chip.add(PwrH7(chip))
    chip.add(FlashH7(chip))
    chip.add(Syscfg(chip, has_vos0=has_vos0))
    chip.add(Dbgmcu(chip, revision))
    chip.add(AxiInterconnect(chip))
    return chip


def _hertz(megahertz):
    return {scale: tuple(mhz * MHZ for mhz in pair) for scale, pair in megahertz.items()}
