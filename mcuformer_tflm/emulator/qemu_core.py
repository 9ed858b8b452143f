"""A Cortex-M55, of which QEMU alone has a model: a process that is asked for call after call.

Its memory is a file that this process maps too, and so are its counts of blocks, which a plug-in of
QEMU's translator keeps (``counting_plugin.c``). A program of ours in its memory makes the calls
(``call_server.S``); it waits in a semihosting request, which halts the emulated core.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.core import CallError, Memory, Ran, stretches
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.remote_protocol import RemoteProtocol
from mcuformer_tflm.emulator.tools import COMPILER, find_tool
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import EmulatorError, ToolchainError

_MIB = 1 << 20
# mps3-an547 has 2 GiB of memory from here on, of which every second 256 MiB are secure, as the core
# is (Arm's application note AN547, "Memory map").
_DDR, _DDR_SIZE = 0x60000000, 2048 * _MIB
SECURE_MEMORY = Memory(0x70000000, 224 * _MIB)
_SERVER = SECURE_MEMORY.address + SECURE_MEMORY.size
_MAILBOX, _CODE, _SERVER_SIZE = _SERVER, _SERVER + 0x1000, 0x2000
# Words of the mailbox (call_server.S).
_STATE, _ENTRY, _REGISTERS, _FAULT, _REGIONS = 0, 4, 12, 60, 128
_WAITS, _WANTS_ANSWER, _FAULTED = 0, 1, 2
# mov ip, pc; ldr.w pc, [pc, #4]; its address lies two halfwords on.
_CALLBACK = b"\xfc\x46\xdf\xf8\x04\xf0\x00\x00"
# Blocks of code that a program may have.
_CAPACITY = 1 << 15
_SECONDS = 900.0
_FOLDER = Path(__file__).parent


class QemuCore:
    """A ``Core``.

    Args:
        core: ``cortex-m55``.
        memories: What memory it has, within ``SECURE_MEMORY``; up to 7.
        starts: Where the parts of its program begin that are told apart.

    Raises:
        ConfigError: If the core is another.
        ToolchainError: If QEMU, the cross compiler or a C compiler of this machine is missing.
    """

    def __init__(self, core: str, memories: Sequence[Memory], starts: Sequence[int] = ()) -> None:
        """Prepares memory; QEMU starts with the first call."""
        checked_choice("core", core, ("cortex-m55",))
        self._memories, self._starts = tuple(memories), tuple(starts)
        self._file = os.memfd_create("memory")
        os.ftruncate(self._file, _DDR_SIZE)
        self._memory = mmap.mmap(
            self._file, _SERVER - SECURE_MEMORY.address + _SERVER_SIZE,
            offset=SECURE_MEMORY.address - _DDR,
        )  # fmt: skip
        code, symbols = _call_server()
        self._reset, self._answerer = symbols["call_server_reset"], symbols["call_server_rows"]
        self.write(_CODE, code)
        server = Memory(_SERVER, _SERVER_SIZE)
        regions = b"".join(_region(memory) for memory in (*self._memories, server))
        self.write(_MAILBOX + _REGIONS, regions + bytes(8))
        self._callbacks: dict[int, Callable[[int, int, int], None]] = {}
        self._process: _Process | None = None

    def write(self, address: int, data: bytes) -> None:
        """Writes memory, also where programs may not."""
        start = address - SECURE_MEMORY.address
        self._memory[start : start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """Reads memory."""
        start = address - SECURE_MEMORY.address
        return self._memory[start : start + size]

    def callback(self, address: int, answer: Callable[[int, int, int], None]) -> bytes:
        """Returns code, to be laid at an address, that calls ``answer`` (``Core.callback``)."""
        self._callbacks[address + len(_CALLBACK) // 2] = answer
        return _CALLBACK + struct.pack("<I", self._answerer | 1)

    def forget_callbacks(self) -> None:
        """Forgets what ``callback`` was told."""
        self._callbacks.clear()

    def call(
        self, entry: int, registers: Sequence[int], stack: int, watch: range | None = None
    ) -> Ran:
        """Calls a function (``Core.call``).

        Raises:
            CallError: If it does not return.
            EmulatorError: If QEMU does not do what it should.
        """
        process = self._started(watch)
        self.write(_MAILBOX + _ENTRY, struct.pack("<14I", entry | 1, stack, *registers))
        process.counts.clear()
        process.go_on()
        while (state := self._word(_STATE)) == _WANTS_ANSWER:
            *arguments, address = self._words(_REGISTERS, 4)
            self._callbacks[address](*arguments)
            process.go_on()
        if state == _FAULTED:
            self._process = None
            pc, cause, address = self._words(_FAULT, 3)
            raise CallError(f"at 0x{pc:x}: a fault of cause 0x{cause:x}, address 0x{address:x}")
        if state != _WAITS:
            raise EmulatorError(f"The emulated core told of a state {state}, which there is not.")
        _, stack, *after = self._words(_ENTRY, 14)
        code = [
            range(memory.address, memory.address + memory.size)
            for memory in self._memories if not memory.writable
        ]  # fmt: skip
        blocks, loaded, touched = process.counts.take(code)
        return Ran(tuple(after), stack, blocks, loaded, touched)

    def _started(self, watch: range | None) -> _Process:
        process = self._process
        if process is None or process.parent != os.getpid() or process.watch != watch:
            process = _Process(self._file, self._reset, self._starts, watch)
            process.go_on()
            self._process = process
        return process

    def _words(self, offset: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.read(_MAILBOX + offset, 4 * count))

    def _word(self, offset: int) -> int:
        return self._words(offset, 1)[0]


class _Process:
    """QEMU, and the connection that tells of its requests."""

    def __init__(self, memory: int, reset: int, starts: Sequence[int], watch: range | None) -> None:
        self.parent, self.watch = os.getpid(), watch
        self.counts = _Counts(starts, watch)
        ours, its = socket.socketpair()
        # Its other end closes with this process, however that ends; then the plug-in ends QEMU.
        alive, lifeline = os.pipe()
        # What the core loads at reset: a stack, and where it begins.
        vectors = os.memfd_create("vectors")
        os.write(vectors, struct.pack("<II", 0, reset | 1))
        self._log = os.memfd_create("log")
        files = (memory, self.counts.file, its.fileno(), vectors, alive)
        command = [
            find_tool("qemu-system-arm"), "-M", "mps3-an547,memory-backend=ddr", "-object",
            f"memory-backend-file,id=ddr,size={_DDR_SIZE},mem-path=/proc/self/fd/{memory},share=on",
            "-display", "none", "-monitor", "none", "-serial", "none", "-nic", "none",
            "-semihosting-config", "enable=on,target=gdb", "-S",
            "-chardev", f"socket,id=debugger,fd={its.fileno()}", "-gdb", "chardev:debugger",
            "-device", f"loader,file=/proc/self/fd/{vectors},addr=0x0,force-raw=on",
            "-plugin", f"{_plugin()},counts=/proc/self/fd/{self.counts.file},alive={alive}",
        ]  # fmt: skip
        with its:
            self._process = subprocess.Popen(
                command, pass_fds=files, stdin=subprocess.DEVNULL, stdout=self._log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        for file in (alive, vectors):
            os.close(file)
        self._protocol = RemoteProtocol(ours)
        self._next = b"c"
        weakref.finalize(self, _end, self._process, ours, (lifeline, self._log), os.getpid())

    def go_on(self) -> None:
        """Lets the program run up to its next request."""
        self._protocol.send(self._next)
        try:
            packet = self._protocol.receive(time.monotonic() + _SECONDS)
        except TimeoutError:
            raise EmulatorError(
                f"A call on the emulated cortex-m55 did not end within {_SECONDS:.0f} seconds."
            ) from None
        if packet is None or not packet.startswith(b"Fsystem"):
            log = os.pread(self._log, 1 << 16, 0).decode(errors="replace").strip()
            raise EmulatorError(f"QEMU stopped unasked for ({packet!r}): {log[-2000:]}")
        self._next = b"F0"


def _end(
    process: subprocess.Popen[bytes], ours: socket.socket, files: tuple[int, ...], parent: int
) -> None:
    if os.getpid() == parent:
        process.kill()
        process.wait()
    ours.close()
    for file in files:
        os.close(file)


class _Counts:
    """The file of ``counting_plugin.c``."""

    def __init__(self, starts: Sequence[int], watch: range | None) -> None:
        parts = len(starts) + 1
        parts += parts % 2  # keeps what has 64 bits aligned
        begin, end = (watch.start, watch.stop) if watch is not None else (0, 0)
        sections = np.cumsum([0, 32, 4 * parts, 8 * parts, 8 * _CAPACITY, 8 * _CAPACITY * parts,
                              end - begin])  # fmt: skip
        self.file = os.memfd_create("counts")
        os.ftruncate(self.file, int(sections[-1]))
        mapped = np.frombuffer(mmap.mmap(self.file, int(sections[-1])), np.uint8)
        pieces = [mapped[a:b] for a, b in itertools.pairwise(sections.tolist())]
        self._header, first = pieces[0].view(np.uint32), pieces[1].view(np.uint32)
        self._loaded = pieces[2].view(np.uint64)
        self._blocks = pieces[3].view(np.uint32).reshape(-1, 2)
        self._counts = pieces[4].view(np.uint64).reshape(-1, parts)
        self._touched, self._begin = pieces[5], begin
        self._header[:] = (_CAPACITY, 0, parts, 0, 0, begin, end, 0)
        first[1 : len(starts) + 1] = starts
        weakref.finalize(self, os.close, self.file)

    def clear(self) -> None:
        """Forgets what ran before the next call."""
        self._header[3] = 0
        self._loaded[:] = 0
        self._counts[: self._header[1]] = 0
        self._touched[:] = 0

    def take(
        self, code: Sequence[range]
    ) -> tuple[tuple[Counter[tuple[int, int]], ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
        """Returns what ran of the program's code, and what was read: see ``Ran``."""
        _, used, parts, _, overflow, *_ = map(int, self._header)
        if overflow:
            raise EmulatorError(f"The program has more than {_CAPACITY:,} blocks of code.")
        counts = self._counts[:used]
        result = []
        for part in range(parts):
            ran: Counter[tuple[int, int]] = Counter()
            for index in np.flatnonzero(counts[:, part]):
                address, size = map(int, self._blocks[index])
                if any(address in memory for memory in code):
                    ran[address, size] += int(counts[index, part])
            result.append(ran)
        touched = np.flatnonzero(self._touched) + self._begin
        return tuple(result), tuple(map(int, self._loaded)), stretches(touched.tolist())


def _region(memory: Memory) -> bytes:
    # ARMv8-M Architecture Reference Manual, MPU_RBAR and MPU_RLAR.
    access = 0b01 if memory.writable else 0b11
    last = (memory.address + memory.size - 1) & ~31
    return struct.pack("<II", memory.address | access << 1, last | 1)


@functools.cache
def _plugin() -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise ToolchainError(
            "A C compiler of this machine is missing, for the plug-in with which QEMU counts. Run "
            "`apt-get install gcc` (Debian), or `make setup` in the checkout."
        )
    folder = tempfile.TemporaryDirectory()
    weakref.finalize(_plugin, folder.cleanup)
    plugin = Path(folder.name) / "counting_plugin.so"
    _run(compiler, "-shared", "-fPIC", "-O2", str(_FOLDER / "counting_plugin.c"), "-o", str(plugin))
    return plugin


@functools.cache
def _call_server() -> tuple[bytes, dict[str, int]]:
    with emulator_extra():
        from elftools.elf.elffile import ELFFile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call_server.elf"
        _run(
            find_tool(COMPILER), "-mcpu=cortex-m55", "-nostdlib", f"-Wl,-Ttext={_CODE:#x}",
            f"-Wl,--defsym,mailbox={_MAILBOX:#x},-e,call_server_reset",
            str(_FOLDER / "call_server.S"), "-o", str(path),
        )  # fmt: skip
        with path.open("rb") as file:
            elf = ELFFile(file)
            symbols = {
                symbol.name: symbol["st_value"]
                for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            }
            return elf.get_section_by_name(".text").data(), symbols


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise ToolchainError(f"{command[0]} failed:\n{result.stderr.strip()[-3000:]}")
