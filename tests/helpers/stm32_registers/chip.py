"""The bus: registers with their fields, blocks of them, and flags that hardware raises late."""

from typing import NamedTuple

from .rules import require

# How many reads of a register it takes until a flag in it is raised.
READS_UNTIL_READY = 3


class Register:
    """32 bits of named fields; what no field names is reserved.

    Args:
        reset: Value after reset.
        read_only: Names of fields that software cannot write.
        write_only: It reads as its reset value, and any value may be written.
        fields: (lowest bit, bits) of each field.
    """

    def __init__(self, reset=0, *, read_only=(), write_only=False, **fields):
        self.reset = self.value = reset
        self.fields = fields
        self.write_only = write_only
        self.named = sum(self.mask(name) for name in fields)
        self.writable = self.named & ~sum(self.mask(name) for name in read_only)

    def mask(self, field):
        first, bits = self.fields[field]
        return (1 << bits) - 1 << first

    def __getitem__(self, field):
        return (self.value & self.mask(field)) >> self.fields[field][0]

    def __setitem__(self, field, value):
        self.value = self.value & ~self.mask(field) | value << self.fields[field][0]


class Block:
    """A peripheral: its registers by offset, and what happens when they are accessed.

    A subclass sets ``name``, ``base``, ``manual`` and, if software must switch its clock on,
    ``clock``: register of RCC, bit.
    """

    clock = None

    def __init__(self, chip, registers):
        self.chip = chip
        self.registers = {name: register for name, register in registers.values()}
        self.names = {offset: name for offset, (name, _) in registers.items()}

    def __getitem__(self, name):
        return self.registers[name]

    def read(self, name, size):
        del size
        return self[name].value

    def write(self, name, size, value):
        require(size == 4, f"{self.name}_{name} is written by words here", self.manual)
        register = self[name]
        require(
            (value ^ register.reset) & ~register.named == 0,
            f"reserved bits of {self.name}_{name} keep their reset value",
            f"{self.manual}, {self.name}_{name}",
        )
        before = register.value
        register.value = before & ~register.writable | value & register.writable
        self.written(name, before)
        if register.write_only:
            register.value = register.reset

    def written(self, name, before):
        """Called after a write."""

    def was_read(self, name):
        """Called after a read."""

    def changed(self, name, before, *fields):
        """Whether a write changed one of the fields."""
        mask = sum(self[name].mask(field) for field in fields)
        return (before ^ self[name].value) & mask != 0


class Access(NamedTuple):
    """One access of the program; ``named`` is like ``RCC_CR``."""

    kind: str
    named: str
    address: int
    size: int
    value: int


class Chip:
    """All blocks of a chip.

    Args:
        never: Flags that are never raised, such as ``PLLRDY``.
    """

    def __init__(self, never=()):
        self.never = frozenset(never)
        self.blocks = {}
        self.log = []
        self._places = {}
        self._late = {}

    def add(self, block):
        self.blocks[block.name] = block
        for offset, name in block.names.items():
            self._places[block.base + offset] = (block, name, f"{block.name}_{name}")
        return block

    def __getattr__(self, name):
        try:
            return self.__dict__["blocks"][name.upper()]
        except KeyError:
            raise AttributeError(name) from None

    def later(self, flag, place, act, reads=READS_UNTIL_READY):
        """Has hardware do something a few reads of a register (``RCC_CR``) later."""
        self._late[flag] = [place, reads, act]

    def forget(self, flag):
        self._late.pop(flag, None)

    def still_late(self):
        return sorted(self._late)

    def read(self, address, size):
        block, name, named = self._place(address)
        if self._late:
            self._pass_time(named)
        value = block.read(name, size)
        self.log.append(Access("read", named, address, size, value))
        block.was_read(name)
        return value

    def write(self, address, size, value):
        block, name, named = self._place(address)
        self.log.append(Access("write", named, address, size, value))
        block.write(name, size, value)

    def _pass_time(self, named):
        for flag, late in list(self._late.items()):
            if late[0] == named and flag not in self.never:
                late[1] -= 1
                if late[1] == 0:
                    del self._late[flag]
                    late[2]()

    def _place(self, address):
        require(address in self._places, f"0x{address:08x} is no register of the model", "-")
        block, name, named = self._places[address]
        if block.clock is not None:
            register, bit = block.clock
            require(
                self.rcc.has_clock(register, bit),
                f"{block.name} has its clock, and that was read back, before it is accessed",
                f"{self.rcc.manual}, RCC_{register}",
            )
        return block, name, named
