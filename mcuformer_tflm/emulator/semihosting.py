"""What an emulated program may ask of this machine: two files, text, and its end.

QEMU would serve every semihosting call by itself, files anywhere and ``SYS_SYSTEM`` included. Told
to leave them to a debugger, it asks over the GDB remote protocol (GDB's manual, "File-I/O Remote
Protocol Extension"); the debugger here refuses whatever firmware has no need of.
"""

from __future__ import annotations

import io
import socket

from mcuformer_tflm.emulator.remote_protocol import RemoteProtocol
from mcuformer_tflm.keras_models.exceptions import EmulatorError

INPUT_FILE, OUTPUT_FILE = "input.bin", "output.bin"
# Of the protocol: how a file is opened, and why it is not.
_READ_ONLY, _WRITE_NEW = 0o0, 0x601
_ACCESS_DENIED = b"F-1,d"
_CONSOLE = (1, 2)
_INPUT, _OUTPUT = 3, 4
# QEMU takes packets of 4096 characters, two a byte.
_CHUNK = 1024


class SemihostingServer:
    """Serves one program's calls, in memory: it touches no file of this machine.

    Args:
        connection: Socket on which QEMU's debugger stub listens.
        content: What the program reads as ``input.bin``.
        deadline: Of ``time.monotonic``; the program is given up then.

    Attributes:
        output: What the program wrote to ``output.bin``.
        text: What it wrote to the console.
        refused: Calls that it made and was refused, in words.
    """

    def __init__(self, connection: socket.socket, content: bytes, deadline: float) -> None:
        """Takes the connection; nothing runs before ``serve``."""
        self.output, self.text = io.BytesIO(), b""
        self.refused: list[str] = []
        self._protocol, self._deadline = RemoteProtocol(connection), deadline
        self._input = io.BytesIO(content)

    def serve(self) -> None:
        """Lets the program run, to its end.

        Raises:
            EmulatorError: If it stops without one, or QEMU is not understood.
            TimeoutError: If the deadline passes.
        """
        self._protocol.send(b"c")
        while (packet := self._protocol.receive(self._deadline)) is not None:
            kind = packet[:1]
            if kind == b"F":
                self._protocol.send(self._answer(packet[1:]))
            elif kind in b"WX":
                return
            elif kind == b"T":
                raise EmulatorError("The program stopped at a breakpoint of its own.")

    def _answer(self, packet: bytes) -> bytes:
        call, *words = packet.decode("ascii").split(",")
        try:
            arguments = [[int(part, 16) for part in word.split("/")] for word in words]
            if call == "open":
                (address, size), (flags,), _ = arguments
                return self._open(self._read_memory(address, size)[:-1], flags)
            if call == "read":
                (file,), (address,), (size,) = arguments
                if file == _INPUT:
                    data = self._input.read(size)
                    self._write_memory(address, data)
                    return b"F%x" % len(data)
            if call == "write":
                (file,), (address,), (size,) = arguments
                if file == _OUTPUT or file in _CONSOLE:
                    data = self._read_memory(address, size)
                    if file == _OUTPUT:
                        self.output.write(data)
                    else:
                        self.text += data
                    return b"F%x" % len(data)
        except ValueError as error:
            raise EmulatorError(f"QEMU asked for {packet!r}, which is not understood.") from error
        self.refused.append(call)
        return _ACCESS_DENIED

    def _open(self, name: bytes, flags: int) -> bytes:
        if (name, flags) == (INPUT_FILE.encode(), _READ_ONLY):
            return b"F%x" % _INPUT
        if (name, flags) == (OUTPUT_FILE.encode(), _WRITE_NEW):
            return b"F%x" % _OUTPUT
        self.refused.append(f"open of {name.decode(errors='replace')!r}")
        return _ACCESS_DENIED

    def _read_memory(self, address: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            count = min(_CHUNK, size - len(data))
            self._protocol.send(b"m%x,%x" % (address + len(data), count))
            data += bytes.fromhex((self._protocol.receive(self._deadline) or b"").decode("ascii"))
        return data

    def _write_memory(self, address: int, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            self._protocol.send(b"M%x,%x:%s" % (address + start, len(part), part.hex().encode()))
            if self._protocol.receive(self._deadline) != b"OK":
                raise EmulatorError(f"The program has no memory at 0x{address:08x} to read into.")
