"""Packets of the GDB remote protocol (GDB's manual, appendix E), which QEMU speaks."""

from __future__ import annotations

import contextlib
import socket
import time


class RemoteProtocol:
    """One side of a connection, that of the debugger.

    Args:
        connection: Socket on which QEMU's debugger stub listens.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Takes the connection."""
        self._connection = connection
        self._received = b""

    def send(self, packet: bytes) -> None:
        """Sends a packet."""
        self._write(b"$%s#%02x" % (packet, sum(packet) & 0xFF))

    def receive(self, deadline: float) -> bytes | None:
        """Returns the next packet, or None if QEMU has gone.

        Args:
            deadline: Of ``time.monotonic``.

        Raises:
            TimeoutError: If the deadline passes.
        """
        while True:  # between packets lie acknowledgements
            start = self._received.find(b"$")
            end = self._received.find(b"#", start)
            if 0 <= start < end and len(self._received) >= end + 3:
                packet = self._received[start + 1 : end]
                self._received = self._received[end + 3 :]
                self._write(b"+")
                return packet
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            try:
                more = self._connection.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self._received += more

    def _write(self, data: bytes) -> None:
        # That QEMU has gone is noticed where its next packet is waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(data)
