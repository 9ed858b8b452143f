"""What a run did, played again with one change.

A run is a list of steps: a write, or reads of one register one after another. A read right before a
write of the same register belongs to that write: then the write is of the bits that it changed, so
that it means the same when another step is missing.
"""

import dataclasses
import itertools

from .rules import BrokenRuleError


@dataclasses.dataclass(frozen=True)
class Read:
    """``times`` reads of a register."""

    named: str
    address: int
    size: int
    times: int

    def play(self, chip):
        for _ in range(self.times):
            chip.read(self.address, self.size)


@dataclasses.dataclass(frozen=True)
class Write:
    """A write; ``mask`` has the bits that it changed, or all."""

    named: str
    address: int
    size: int
    value: int
    mask: int

    def play(self, chip):
        value = self.value
        if self.mask != _ALL:
            value = chip.read(self.address, self.size) & ~self.mask | value & self.mask
        chip.write(self.address, self.size, value)


_ALL = 0xFFFFFFFF


def steps(log):
    """The steps of a run's log."""
    found = []
    for access in log:
        last = found[-1] if found else None
        follows = isinstance(last, Read) and last.address == access.address
        if access.kind == "read":
            times = 1
            if follows:
                times += found.pop().times
            found.append(Read(access.named, access.address, access.size, times))
            before = access.value
            continue
        mask = _ALL
        if follows:
            mask = before ^ access.value
            found.pop()
            if last.times > 1:
                found.append(dataclasses.replace(last, times=last.times - 1))
        found.append(Write(access.named, access.address, access.size, access.value, mask))
    return found


def mutants(run, chip):
    """(what was changed, steps) of every change of one step.

    Each step left out; each two neighbours exchanged; each two writes exchanged that only reads
    part; and for each write every field that it gives a value one more and one less, and every
    bit of that value, and the lowest reserved bit, flipped.
    """
    for i, step in enumerate(run):
        yield (f"without {_told(step)}", i), [*run[:i], *run[i + 1 :]]
    for i in range(len(run) - 1):
        one, other = run[i : i + 2]
        yield (f"{_told(other)} before {_told(one)}", i), [*run[:i], other, one, *run[i + 2 :]]
    writes = [i for i, step in enumerate(run) if isinstance(step, Write)]
    for i, j in itertools.pairwise(writes):
        if j > i + 1:
            swapped = [*run[:i], run[j], *run[i + 1 : j], run[i], *run[j + 1 :]]
            yield (f"{_told(run[j])} before {_told(run[i])} and its wait", i), swapped
    for i in writes:
        step = run[i]
        for told, value, mask in _changes(step, chip):
            changed = dataclasses.replace(step, value=value, mask=step.mask | mask)
            yield (f"{step.named} with {told}", i), [*run[:i], changed, *run[i + 1 :]]


def verdict(run, chip, outcome):
    """What becomes of a run: the rule that it breaks, or its outcome."""
    try:
        for step in run:
            step.play(chip)
        return outcome(chip)
    except BrokenRuleError as broken:
        return broken


def _changes(step, chip):
    block, _, name = step.named.partition("_")
    register = chip.blocks[block][name]
    seen = set()
    for field, (first, bits) in register.fields.items():
        # As wide as the access.
        bits = min(bits, 8 * step.size - first)
        mask = (1 << bits) - 1 << first
        if step.mask & mask == 0 or register.writable & mask == 0:
            continue
        value = (step.value & mask) >> first
        if step.mask == _ALL and value == 0:
            continue
        flips = (value ^ 1 << bit for bit in range(bits) if step.mask & mask & 1 << first + bit)
        for other in (value + 1, value - 1, *flips):
            if 0 <= other < 1 << bits and (field, other) not in seen:
                seen.add((field, other))
                yield f"{field} = {other}, not {value}", step.value & ~mask | other << first, mask
    for bit in range(8 * step.size):
        if not register.named >> bit & 1:
            flipped = 1 << bit
            yield "a reserved bit changed", step.value ^ flipped, flipped
            break


def _told(step):
    if isinstance(step, Read):
        return f"{step.times} reads of {step.named}"
    changed = step.value if step.mask == _ALL else step.value & step.mask
    return f"{step.named} = {changed:#x}"
