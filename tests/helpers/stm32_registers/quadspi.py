"""QUADSPI: commands to a flash, and the flash as memory."""

import dataclasses

from .chip import READS_UNTIL_READY, Block, Register
from .gpio import quadspi_is_connected
from .rules import require

_INDIRECT_WRITE, _INDIRECT_READ, _POLLING, _MEMORY_MAPPED = range(4)
_LINES = (0, 1, 2, 4)


@dataclasses.dataclass(frozen=True)
class Frame:
    """What a command looks like on the lines.

    Attributes:
        instruction: Its first byte.
        lines: Lines for instruction, address, alternate bytes and data; 0 leaves one out.
        address_bytes: Bytes of address.
        dummy: Cycles between address and data.
        hertz: The clock.
        sampled: Seconds after a falling edge of the clock at which data is sampled.
        apart: Seconds that the flash is left alone before it.
    """

    instruction: int
    lines: tuple
    address_bytes: int
    dummy: int
    hertz: float
    sampled: float
    apart: float


class QuadSpi(Block):
    """QUADSPI of the STM32F74x (RM0385 chapter 14).

    Args:
        chip: The chip.
        flash: What is connected.
    """

    name = "QUADSPI"
    base = 0xA0001000
    manual = "RM0385 14"
    clock = ("AHB3ENR", 1)

    def __init__(self, chip, flash):
        self.memory = flash
        self._fifo, self._sent, self._started = [], [], False
        super().__init__(chip, {
            0x00: ("CR", Register(
                EN=(0, 1), ABORT=(1, 1), DMAEN=(2, 1), TCEN=(3, 1), SSHIFT=(4, 1), DFM=(6, 1),
                FSEL=(7, 1), FTHRES=(8, 5), TEIE=(16, 1), TCIE=(17, 1), FTIE=(18, 1), SMIE=(19, 1),
                TOIE=(20, 1), APMS=(22, 1), PMM=(23, 1), PRESCALER=(24, 8))),
            0x04: ("DCR", Register(CKMODE=(0, 1), CSHT=(8, 3), FSIZE=(16, 5))),
            0x08: ("SR", Register(
                read_only=("TEF", "TCF", "FTF", "SMF", "TOF", "BUSY", "FLEVEL"), TEF=(0, 1),
                TCF=(1, 1), FTF=(2, 1), SMF=(3, 1), TOF=(4, 1), BUSY=(5, 1), FLEVEL=(8, 6))),
            0x0C: ("FCR", Register(
                write_only=True, CTEF=(0, 1), CTCF=(1, 1), CSMF=(3, 1), CTOF=(4, 1))),
            0x10: ("DLR", Register(DL=(0, 32))),
            0x14: ("CCR", Register(
                INSTRUCTION=(0, 8), IMODE=(8, 2), ADMODE=(10, 2), ADSIZE=(12, 2), ABMODE=(14, 2),
                ABSIZE=(16, 2), DCYC=(18, 5), DMODE=(24, 2), FMODE=(26, 2), SIOO=(28, 1),
                DHHC=(30, 1), DDRM=(31, 1))),
            0x20: ("DR", Register(DATA=(0, 32))),
        })  # fmt: skip

    def hertz(self):
        return self.chip.rcc.frequencies()["HCLK"] / (self["CR"]["PRESCALER"] + 1)

    def frame(self):
        """The command that CCR describes."""
        config, control, hertz = self["CCR"], self["CR"], self.hertz()
        modes = ("IMODE", "ADMODE", "ABMODE", "DMODE")
        return Frame(
            config["INSTRUCTION"],
            tuple(_LINES[config[mode]] for mode in modes),
            config["ADSIZE"] + 1,
            config["DCYC"],
            hertz,
            (1 + control["SSHIFT"]) / 2 / hertz,
            (self["DCR"]["CSHT"] + 1) / hertz,
        )

    def read(self, name, size):
        if name != "DR":
            return super().read(name, size)
        section = f"{self.manual}, indirect mode"
        require(size <= len(self._fifo), "data is read once it is there, by bytes", section)
        data = bytes(self._fifo[:size])
        del self._fifo[:size]
        if not self._fifo:
            self["SR"]["BUSY"] = 0
        return int.from_bytes(data, "little")

    def write(self, name, size, value):
        if name != "DR":
            super().write(name, size, value)
            return
        mode, length = self["CCR"]["FMODE"], self["DLR"]["DL"] + 1
        section = f"{self.manual}, indirect mode"
        require(mode == _INDIRECT_WRITE and self["CCR"]["DMODE"] != 0 and not self._started,
                "data follows a command that takes it", section)  # fmt: skip
        self._sent += value.to_bytes(4, "little")[:size]
        require(len(self._sent) <= length, "no more data than QUADSPI_DLR says", section)
        if len(self._sent) == length:
            self._start(bytes(self._sent))

    def written(self, name, before):
        section = f"{self.manual}, QUADSPI_{name}"
        if name == "FCR":
            if self[name]["CTCF"]:
                self["SR"]["TCF"] = 0
            return
        if name == "SR":
            require(False, "QUADSPI_SR is read only", section)
        require(
            self["SR"]["BUSY"] == 0, f"QUADSPI_{name} is written while QUADSPI is not busy", section
        )
        if name == "CR":
            for other in ("ABORT", "DMAEN", "DFM", "FSEL", "TEIE", "TCIE", "FTIE", "SMIE", "TOIE"):
                require(self[name][other] == 0, f"{other} is not needed", "-")
            # A timeout in memory-mapped mode is against the errata sheet, ES0290.
            require(self[name]["TCEN"] == 0, "no timeout in memory-mapped mode", "ES0290")
        elif name == "CCR":
            self._configure(section)

    def _configure(self, section):
        config = self["CCR"]
        require(self["CR"]["EN"] == 1, "QUADSPI is on before its first command", section)
        require(config["FMODE"] != _POLLING, "status polling is not in the model", section)
        require(config["DDRM"] == 0 and config["DHHC"] == 0, "one bit a line and cycle", section)
        require(config["SIOO"] == 0, "without XIP, each command has its instruction", section)
        self._sent, self._fifo, self._started = [], [], False
        # Data or an address starts the others.
        reads, has_data = config["FMODE"] == _INDIRECT_READ, config["DMODE"] != 0
        if config["FMODE"] != _MEMORY_MAPPED and not config["ADMODE"] and (reads or not has_data):
            self._start(b"")

    def _start(self, data):
        frame, status = self.frame(), self["SR"]
        self._require_ready(frame)
        require(status["TCF"] == 0, "the flag of the last command is cleared before the next one "
                "ends", f"{self.manual}, QUADSPI_FCR")  # fmt: skip
        self._started = True
        status["BUSY"] = 1
        reads = self["CCR"]["FMODE"] == _INDIRECT_READ
        answer = self.memory.command(frame, data, self["DLR"]["DL"] + 1 if reads else 0)

        def complete():
            status["TCF"] = 1
            self._fifo = list(answer)

        self.chip.later("TCF", "QUADSPI_SR", complete)
        if not reads:
            self.chip.later("BUSY", "QUADSPI_SR", lambda: status.__setitem__("BUSY", 0),
                            READS_UNTIL_READY + 1)  # fmt: skip

    def _require_ready(self, frame):
        require(quadspi_is_connected(self.chip), "QUADSPI's pins are connected before a command",
                "RM0385 6, GPIOx_AFRL")  # fmt: skip
        require(1 << self["DCR"]["FSIZE"] + 1 == self.memory.SIZE, "FSIZE is the flash's size",
                f"{self.manual}, QUADSPI_DCR")  # fmt: skip
        self.memory.check_timing(frame)

    def read_mapped(self, offset, size):
        """What a read of the memory at 0x90000000 gives."""
        section = f"{self.manual}, memory-mapped mode"
        require(self["CR"]["EN"] == 1 and self["CCR"]["FMODE"] == _MEMORY_MAPPED,
                "memory is read once it is mapped", section)  # fmt: skip
        require(
            self["SR"]["BUSY"] == 0 or self._started == "mapped", "QUADSPI is not busy", section
        )
        frame = self.frame()
        self._require_ready(frame)
        # It reads ahead, and stays busy with that.
        self["SR"]["BUSY"], self._started = 1, "mapped"
        return self.memory.read(frame, offset, size)
