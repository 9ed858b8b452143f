"""Whole firmware images in QEMU: pictures in, logits out, over semihosting."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.semihosting import SemihostingServer
from mcuformer_tflm.emulator.tools import find_tool
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.keras_models.images import check_integer_dtype


@dataclasses.dataclass(frozen=True)
class FirmwareRun:
    """What a firmware image did.

    Attributes:
        outputs: int8[pictures, output_bytes] logits.
        log: Lines that it wrote.
        status: Its exit status: 0 well, 1 the model refused, 2 a fault.
    """

    outputs: np.ndarray
    log: str
    status: int

    @property
    def stack_bytes(self) -> int:
        """The most bytes of stack in use, from the program's own record."""
        found = re.search(r"stack: (\d+) of \d+ bytes used", self.log)
        if found is None:
            raise EmulatorError(f"The firmware told nothing of its stack: {self.log.strip()}")
        return int(found.group(1))


def run_firmware(
    image: Path, core: str, pictures: np.ndarray, output_bytes: int, arguments: str = "",
    timeout: float = 300, *, counting: bool = False,
) -> FirmwareRun:  # fmt: skip
    """Runs an image that was linked for the emulator (``MCUFORMER_EMULATED``).

    Args:
        image: The ELF file.
        core: One of ``ARM_BOARDS``.
        pictures: int8[n, height, width, channels] that the program reads as ``input.bin``.
        output_bytes: Bytes of logits a picture.
        arguments: The program's command line.
        timeout: Seconds after which it is stopped.
        counting: Whether the machine's clocks go by instructions, 64 ns each, the same on every
            run, instead of by the host's time.

    Raises:
        ConfigError: If there is no machine for the core.
        EmulatorError: If it does not end in time, or asks for more of this machine than its two
            files, text and an end (``SemihostingServer``).
        ToolchainError: If QEMU is not installed.
        DataError: If the pictures are not int8.
    """
    check_integer_dtype(pictures)
    board = ARM_BOARDS[checked_choice("core", core, tuple(ARM_BOARDS))]
    machine = board.name
    qemu = find_tool("qemu-system-arm")
    semihosting = "enable=on,target=gdb" + "".join(
        f",arg={argument}" for argument in ["firmware", *arguments.split()]
    )
    ours, its = socket.socketpair()
    vectors = os.memfd_create("vectors")
    command = [qemu, "-M", machine, "-display", "none", "-monitor", "none",
               "-serial", "none", "-semihosting-config", semihosting, "-S",
               "-chardev", f"socket,id=debugger,fd={its.fileno()}", "-gdb", "chardev:debugger",
               "-kernel", str(image.resolve())]  # fmt: skip
    if board.starts_at_zero:
        os.write(vectors, _first_vectors(image))
        command += ["-device", f"loader,file=/proc/self/fd/{vectors},addr=0x0,force-raw=on"]
    if counting:
        command += ["-icount", "shift=6"]
    server = SemihostingServer(ours, pictures.tobytes(), time.monotonic() + timeout)
    with ours, its, subprocess.Popen(
        command, pass_fds=[its.fileno(), vectors], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        its.close()
        os.close(vectors)
        try:
            server.serve()
            messages, _ = process.communicate(timeout=timeout)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise EmulatorError(
                f"{image.name} did not end within {timeout:.0f} seconds on {machine}."
            ) from error
        finally:
            process.kill()
    if server.refused:
        raise EmulatorError(
            f"{image.name} asked this machine for what firmware has no need of, and was refused: "
            f"{', '.join(dict.fromkeys(server.refused))}."
        )
    content = server.output.getvalue()
    whole = len(content) // output_bytes * output_bytes
    outputs = np.frombuffer(content[:whole], np.int8).reshape(-1, output_bytes)
    log = server.text.decode(errors="replace") + messages
    return FirmwareRun(outputs, log, process.returncode)


def _first_vectors(image: Path) -> bytes:
    with emulator_extra():
        from elftools.elf.elffile import ELFFile

    with image.open("rb") as file:
        vectors: bytes = ELFFile(file).get_section_by_name(".vectors").data()
        return vectors[:8]
