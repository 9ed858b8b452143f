"""The N25Q128A, ST's choice for the Discovery board: 16 MB, 3 V (Micron's data sheet, rev. R)."""

from .rules import require

_SHEET = "N25Q128A"


class N25q128a:
    """A flash in its extended SPI protocol.

    Args:
        content: bytes(offset, size) that are stored.
        volatile_configuration, enhanced_volatile_configuration: What an earlier program left
            there: a reset of the chip alone does not reach the flash.
    """

    SIZE = 1 << 24
    # Manufacturer, type, capacity, and 17 bytes of its own.
    ID = bytes.fromhex("20ba18 10") + bytes(range(16))
    # Megahertz of QUAD I/O FAST READ by dummy cycles, "Supported clock frequencies".
    _HIGHEST = (0, 30, 40, 50, 60, 70, 80, 86, 95, 105, *[108] * 5)
    _DEFAULT, _ENHANCED_DEFAULT = 0xFB, 0xDF
    _QUESTIONS = (0x9F, 0x85)

    def __init__(self, content, volatile_configuration=0x1A, enhanced_volatile_configuration=0xDC):
        self.content = content
        self.volatile_configuration = volatile_configuration
        self.enhanced_volatile_configuration = enhanced_volatile_configuration
        self._write_enabled = self._reset_enabled = False
        # Answers that it still owes nothing to, since it recovers or writes.
        self._busy = 0

    def check_timing(self, frame):
        require(frame.hertz <= 108e6, "the clock is 108 MHz at most", f"{_SHEET}, AC, fC")
        require(frame.apart >= 50e-9, "50 ns between commands", f"{_SHEET}, AC, tSHSL2")
        # 7 ns after the falling edge, at 30 pF.
        require(frame.lines[3] == 0 or frame.sampled > 7e-9, "data is sampled once it is valid",
                f"{_SHEET}, AC, tCLQV")  # fmt: skip

    def command(self, frame, data, length):
        """Obeys a command without address.

        Args:
            frame: How it came.
            data: What followed.
            length: Bytes of answer that are clocked out.
        """
        instruction, section = frame.instruction, f"{_SHEET}, command definitions"
        expected = (1, 0, 0, 1 if data or length else 0)
        require(frame.lines == expected, "commands come on one line", section)
        require(frame.dummy == 0, "no dummy cycles in this command", section)
        require(length <= 20, "no answer is longer than 20 bytes", section)
        if self._busy:
            require(instruction in self._QUESTIONS and length > 0,
                    "nothing but questions while it recovers", f"{_SHEET}, reset")  # fmt: skip
            self._busy -= 1
            return b"\xff" * length
        was_reset_enabled, self._reset_enabled = self._reset_enabled, False
        if instruction == 0x66:
            require(not data and not length, "RESET ENABLE is alone", section)
            self._reset_enabled = True
        elif instruction == 0x99:
            require(was_reset_enabled, "RESET ENABLE right before RESET MEMORY", f"{_SHEET}, reset")
            self.volatile_configuration, self._write_enabled, self._busy = self._DEFAULT, False, 2
            self.enhanced_volatile_configuration = self._ENHANCED_DEFAULT
        elif instruction == 0x9F:
            require(length > 0, "READ ID is asked for bytes", section)
            return self.ID[:length]
        elif instruction == 0x06:
            require(not data and not length, "WRITE ENABLE is alone", section)
            self._write_enabled = True
        elif instruction == 0x81:
            require(self._write_enabled, "WRITE ENABLE before a register is written", section)
            require(len(data) == 1, "one byte is written", section)
            require(data[0] & 4 == 0, "bit 2 is reserved", f"{_SHEET}, volatile configuration")
            self.volatile_configuration, self._write_enabled, self._busy = data[0], False, 1
        elif instruction == 0x85:
            require(length == 1, "one byte is read", section)
            return bytes([self.volatile_configuration])
        else:
            require(False, f"command 0x{instruction:02x} is none that start-up needs", section)
        return b""

    def dummy_cycles(self):
        """Cycles before data of QUAD I/O FAST READ."""
        cycles = self.volatile_configuration >> 4
        return cycles if 0 < cycles < 15 else 10

    def read(self, frame, offset, size):
        """Reads memory by a command with an address.

        Args:
            frame: How it came.
            offset: The address.
            size: Bytes.
        """
        section = f"{_SHEET}, command definitions"
        require(self._busy == 0, "memory is read once the flash is ready", f"{_SHEET}, reset")
        require(frame.instruction == 0xEB, "memory is read by QUAD I/O FAST READ", section)
        require(
            frame.lines == (1, 4, 0, 4), "instruction, address and data on 1, 4, 4 lines", section
        )
        require(frame.address_bytes == 3, "three bytes of address", section)
        require(self.enhanced_volatile_configuration == self._ENHANCED_DEFAULT,
                "what an earlier program set is reset", f"{_SHEET}, reset")  # fmt: skip
        section = f"{_SHEET}, volatile configuration"
        require(
            self.volatile_configuration & 8 != 0, "no XIP: each read has an instruction", section
        )
        require(self.volatile_configuration & 3 == 3, "reads go on and do not wrap", section)
        require(
            frame.dummy == self.dummy_cycles(),
            "as many dummy cycles as the flash was told",
            section,
        )
        highest = self._HIGHEST[frame.dummy] * 1e6
        require(frame.hertz <= highest, f"with {frame.dummy} dummy cycles no more than its clock",
                f"{_SHEET}, supported clock frequencies")  # fmt: skip
        require(offset + size <= self.SIZE, "an address is within the flash", section)
        return self.content(offset, size)
