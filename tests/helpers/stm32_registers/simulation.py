"""Compiled start-up, from the reset vector to main, on an emulated core and the model."""

import dataclasses
import subprocess

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const as cpu

from mcuformer_tflm.emulator.toolchain import COMPILER, core_flags, find_tool
from mcuformer_tflm.emulator.unicorn_core import core_model
from mcuformer_tflm.firmware.project import SUPPORT_FOLDER

# What start-up is linked with: main, a fault's end, and what comes between reset and main without
# a part in clocks.
_REST = """
#include "board/board.h"
int main() { return 0; }
namespace mcuformer {
void PaintStack() {}
void ProtectMemory() {}
[[noreturn]] void Stop(int) { for (;;) {} }
}
extern "C" void mcuformer_fault_entry() {}
extern "C" [[noreturn]] void mcuformer_fault(const char*) { for (;;) {} }
int initialised = 42, zero;
"""
_FLASH, _RAM, _MEMORY = 0x08000000, 0x20000000, 0x40000
_SYSTEM = 0xE000E000
_PAGES = {
    "cortex-m4": (0x40000000,),
    "cortex-m7": (0x40000000, 0x51000000, 0x52000000, 0x58000000, 0x5C001000, 0xA0001000),
}


@dataclasses.dataclass(frozen=True)
class Image:
    """Start-up of a board, linked, alone or with all the rest of its firmware.

    Attributes:
        core: Its core.
        flash: (address, bytes of it).
        rams: The same of each block of RAM.
        segments: (address, bytes) to load.
        symbols: Addresses.
    """

    core: str
    flash: tuple
    rams: tuple
    segments: tuple
    symbols: dict


def build(folder, core, *sources):
    """Compiles start.cc with start-up sources (C++ files, or text), for a core."""
    folder.mkdir(parents=True, exist_ok=True)
    script, rest, elf = folder / "board.ld", folder / "rest.cc", folder / "start.elf"
    script.write_text(
        f"MEMORY {{ FLASH (rx) : ORIGIN = {_FLASH}, LENGTH = {_MEMORY}\n"
        f"RAM (rw) : ORIGIN = {_RAM}, LENGTH = {_MEMORY} }}\n"
        'REGION_ALIAS("EXTERNAL_FLASH", FLASH) REGION_ALIAS("ARENA_RAM", RAM)\n'
        'REGION_ALIAS("CORE_RAM", RAM) ARENA_ALIGNMENT = 32; INCLUDE sections.ld\n'
    )
    (folder / "board_shape.h").write_text("namespace mcuformer { constexpr int kInterrupts = 16; }")
    rest.write_text(_REST)
    board = SUPPORT_FOLDER / "board"
    subprocess.run(
        [find_tool(COMPILER), *core_flags(core), "-mthumb", "-std=c++20", "-Os", "-fno-rtti",
         "-fno-exceptions", "-fno-threadsafe-statics", "-Wall", "-Wextra", "-Werror",
         "-DMCUFORMER_HAS_CACHES", f"-I{SUPPORT_FOLDER}", f"-I{folder}",
         "-nostartfiles", "--specs=nosys.specs",
         "-Wl,--defsym=STACK_BYTES=2048,--no-warn-rwx-segments", f"-L{board}", f"-T{script}",
         str(board / "start.cc"), *map(str, sources), str(rest), "-o", str(elf)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return _load(elf, core, (_FLASH, _MEMORY), ((_RAM, _MEMORY),))


def load(elf, board):
    """The firmware of a board, built for the board itself."""
    rams = tuple((region.address, region.size) for region in board.sram_regions)
    return _load(elf, board.core, (board.flash_address, board.flash), rams)


def _load(elf, core, flash, rams):
    with elf.open("rb") as file:
        image = ELFFile(file)
        segments = tuple(
            (segment["p_paddr"], segment.data())
            for segment in image.iter_segments("PT_LOAD")
            if segment["p_filesz"]
        )
        symbols = {
            symbol.name: symbol["st_value"]
            for symbol in image.get_section_by_name(".symtab").iter_symbols()
        }
    return Image(core, flash, rams, segments, symbols)


class Run:
    """One run from reset to main, or to a fault.

    Attributes:
        fault: The line that is told, or None if main is reached.
        stack_only: Whether RAM beside the stack was left alone until the board was set up.
    """

    def __init__(self, image, chip):
        self._chip, self._symbols, self._error = chip, image.symbols, None
        self.fault, self.stack_only = None, True
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(core_model(image.core))
        uc.mem_map(*image.flash, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        for start, size in image.rams:
            uc.mem_map(start, size)
            uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._guard, begin=start, end=start + size - 1)
        uc.mem_map(_SYSTEM, 0x1000)
        for address, data in image.segments:
            uc.mem_write(address, data)
        for page in _PAGES[image.core]:
            size = 0x1000 if page & 0xFFFFF else 0x30000
            uc.mmio_map(page, size, self._read, page, self._write, page)
        for name in ("main", "mcuformer_start", "mcuformer_fault"):
            place = image.symbols[name] & ~1
            uc.hook_add(unicorn.UC_HOOK_CODE, self._arrive, name, begin=place, end=place)
        vectors = bytes(uc.mem_read(image.flash[0], 8))
        stack, reset = (int.from_bytes(vectors[i : i + 4], "little") for i in (0, 4))
        uc.reg_write(cpu.UC_ARM_REG_SP, stack)
        self._in_start_up = True
        uc.emu_start(reset | 1, 0)
        if self._error is not None:
            raise self._error
        self._uc = uc

    def word(self, symbol):
        """A variable's value."""
        return int.from_bytes(self._uc.mem_read(self._symbols[symbol], 4), "little")

    def _read(self, uc, offset, size, page):
        return self._guarded(uc, lambda: self._chip.read(page + offset, size))

    def _write(self, uc, offset, size, value, page):
        self._guarded(uc, lambda: self._chip.write(page + offset, size, value))

    def _guarded(self, uc, access):
        # An exception cannot pass through the emulator.
        if self._error is None:
            try:
                return access()
            except Exception as error:
                self._error = error
                uc.emu_stop()
        return 0

    def _guard(self, uc, kind, address, size, value, _):
        del kind, size, value
        if not self._in_start_up:
            return
        stack = range(self._symbols["__stack_bottom"], self._symbols["__stack_top"])
        self.stack_only = self.stack_only and address in stack
        power = self._chip.pwr
        if hasattr(power, "require_valid"):
            self._guarded(uc, lambda: power.require_valid("nothing is written to RAM"))

    def _arrive(self, uc, address, size, name):
        del address, size
        if name == "mcuformer_start":
            self._in_start_up = False
            return
        if name == "mcuformer_fault":
            place = uc.reg_read(cpu.UC_ARM_REG_R0)
            self.fault = bytes(uc.mem_read(place, 200)).split(b"\0")[0].decode()
        uc.emu_stop()
