"""GPIO: pins that are connected to QUADSPI."""

from .chip import Block, Register
from .rules import require

# STM32F746G-DISCO: port, pin and alternate function (data sheet DS10916, alternate functions; the
# board's manual UM1907): CLK, NCS, IO0 to IO3.
QUADSPI_PINS = {
    "CLK": ("B", 2, 9),
    "NCS": ("B", 6, 10),
    "IO0": ("D", 11, 9),
    "IO1": ("D", 12, 9),
    "IO2": ("E", 2, 9),
    "IO3": ("D", 13, 9),
}


class Port(Block):
    """A port of the STM32F74x (RM0385 chapter 6), of which QUADSPI's pins alone are touched."""

    manual = "RM0385 6"

    def __init__(self, chip, letter, *, moder=0, ospeedr=0, pupdr=0):
        index = "ABCDEFGHIJK".index(letter)
        self.letter, self.name = letter, f"GPIO{letter}"
        self.base, self.clock = 0x40020000 + 0x400 * index, ("AHB1ENR", index)
        self._pins = {pin for port, pin, _ in QUADSPI_PINS.values() if port == letter}

        def fields(bits, first=0):
            return {f"P{first + i}": (i * bits, bits) for i in range(32 // bits) if i < 16}

        super().__init__(chip, {
            0x00: ("MODER", Register(moder, **fields(2))),
            0x04: ("OTYPER", Register(**fields(1))),
            0x08: ("OSPEEDR", Register(ospeedr, **fields(2))),
            0x0C: ("PUPDR", Register(pupdr, **fields(2))),
            0x20: ("AFRL", Register(**fields(4))),
            0x24: ("AFRH", Register(**fields(4, first=8))),
        })  # fmt: skip

    def written(self, name, before):
        for field in self[name].fields:
            if self.changed(name, before, field):
                require(int(field[1:]) in self._pins, "no other pin is touched", "-")

    def is_connected(self, pin, function):
        """Whether a pin has an alternate function, as output at the highest speed."""
        field, half = f"P{pin}", "AFRL" if pin < 8 else "AFRH"
        return (
            self["MODER"][field] == 2
            and self[half][field] == function
            and self["OSPEEDR"][field] == 3
            and self["OTYPER"][field] == 0
        )


def quadspi_is_connected(chip):
    return all(
        chip.blocks[f"GPIO{port}"].is_connected(pin, function)
        for port, pin, function in QUADSPI_PINS.values()
    )
