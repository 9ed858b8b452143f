"""FLASH: wait states, prefetch and caches of internal flash."""

from .chip import Block, Register
from .rcc import MHZ
from .rules import require


class Flash(Block):
    """What both families have.

    Wait states hold some reads of FLASH_ACR after they were written; which it gives tells when.
    """

    name = "FLASH"

    def __init__(self, chip, registers):
        super().__init__(chip, registers)
        self.effective = self["ACR"]["LATENCY"]
        self.read_back = False

    def read(self, name, size):
        value = super().read(name, size)
        return value & ~self[name].mask("LATENCY") | self.effective if name == "ACR" else value

    def was_read(self, name):
        if name == "ACR" and self.effective == self["ACR"]["LATENCY"]:
            self.read_back = True

    def _take_wait_states(self, before):
        if not self.changed("ACR", before, "LATENCY"):
            return
        self.read_back = False
        wait_states = self["ACR"]["LATENCY"]
        # Until it is known which hold, the fewer may.
        if wait_states < self.effective:
            self.check(self.chip.rcc.frequencies()["HCLK"], wait_states)

        def arrive():
            self.effective = wait_states

        self.chip.later("LATENCY", "FLASH_ACR", arrive)


class FlashF(Flash):
    """FLASH of STM32F42x (RM0090 chapter 3) and STM32F74x (RM0385 chapter 3).

    Args:
        chip: The chip.
        manual: Manual and chapter.
        wait_state_section: Where the table of wait states stands: 30 MHz each at 2.7 to 3.6 V.
        caches: Fields of FLASH_ACR for the chip's caches: what ends in RST resets what ends in EN.
    """

    base = 0x40023C00

    def __init__(self, chip, manual, wait_state_section, caches):
        self.manual, self.wait_state_section = manual, wait_state_section
        self.accelerators = ("PRFTEN", *(name for name in caches if name.endswith("EN")))
        super().__init__(chip, {0x00: ("ACR", Register(LATENCY=(0, 4), PRFTEN=(8, 1), **caches))})

    def written(self, name, before):
        self.chip.pwr.require_not_switching("wait states")
        for field in self[name].fields:
            if field.endswith("RST"):
                require(
                    self[name][field] == 0, "no cache is reset: after a reset they are empty", "-"
                )
        self._take_wait_states(before)

    def check(self, hclk, wait_states=None):
        wait_states = self.effective if wait_states is None else wait_states
        require(hclk <= (wait_states + 1) * 30 * MHZ, "flash has the wait states that HCLK takes",
                self.wait_state_section)  # fmt: skip


class FlashH7(Flash):
    """FLASH of the STM32H743 (RM0433 chapter 4)."""

    base = 0x52002000
    manual = "RM0433 4"
    wait_state_section = "RM0433 4.3.8, table 17"
    accelerators = ()
    # Highest megahertz of the AXI bus at VOS0 to VOS3, by wait states and by WRHIGHFREQ.
    _WAIT_STATES = (
        (70, 140, 210, 225, 240),
        (70, 140, 210, 225),
        (55, 110, 165, 225),
        (45, 90, 135, 180, 225),
    )
    _DELAY = ((70, 185, 240), (70, 185, 225), (55, 165, 225), (45, 135, 225))

    def __init__(self, chip):
        super().__init__(chip, {0x00: ("ACR", Register(0x37, LATENCY=(0, 4), WRHIGHFREQ=(4, 2)))})

    def written(self, name, before):
        self._take_wait_states(before)

    def check(self, hclk, wait_states=None):
        wait_states = self.effective if wait_states is None else wait_states
        scale = self.chip.pwr.scale
        highest = self._WAIT_STATES[scale]
        require(
            hclk <= highest[min(wait_states, len(highest) - 1)] * MHZ,
            "flash has the wait states that the AXI bus takes",
            self.wait_state_section,
        )
        delay = self["ACR"]["WRHIGHFREQ"]
        require(delay < 3, "WRHIGHFREQ is 0 to 2", self.wait_state_section)
        require(hclk <= self._DELAY[scale][delay] * MHZ,
                "WRHIGHFREQ is that of the AXI bus's clock", self.wait_state_section)  # fmt: skip
