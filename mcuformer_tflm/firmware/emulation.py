"""A model's firmware, built for the emulator and run on it, beside TFLM."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.arm_boards import emulated
from mcuformer_tflm.emulator.extra import emulator_extra
from mcuformer_tflm.emulator.qemu import FirmwareRun, run_firmware
from mcuformer_tflm.firmware.build import FirmwareImage, build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.tflite.file import Model


@dataclasses.dataclass(frozen=True)
class Emulation:
    """What the emulated firmware did.

    Attributes:
        image: The program, and its sizes.
        run: Its answers, and its stack.
        expected: TFLM's answers, int8[n, output_bytes], several outputs one behind the other.
    """

    image: FirmwareImage
    run: FirmwareRun
    expected: np.ndarray

    @property
    def equal(self) -> int:
        """How many pictures gave TFLM's bytes."""
        return int((self.run.outputs == self.expected).all(axis=1).sum())


def expected_bytes(interpreter: MicroInterpreter, pictures: np.ndarray) -> np.ndarray:
    """Returns what ``mcuformer_run`` shall write, int8[n, output_bytes], as TFLM computes it."""
    outputs = interpreter.run_outputs(pictures).values()
    rows = [values.reshape(len(values), -1).view(np.int8) for values in outputs]
    return np.concatenate(rows, axis=1)


def emulate_firmware(
    model: Model, board: Board | AnyPath, pictures: np.ndarray, *, profile: bool = False
) -> Emulation:
    """Exports, builds and runs a model's firmware.

    Args:
        model: Path of a ``.tflite``, or its bytes.
        board: Whose memory it is linked for, its name, or its TOML file.
        pictures: int8[n, height, width, channels].
        profile: Whether the program counts its operators' cycles (``MCUFORMER_PROFILE``) and
            writes them to ``run.log``. QEMU has no cycles: a counter of its instructions stands in.

    Raises:
        EmulatorError: If the board has more memory than the emulator, or the program fails.
        ToolchainError: If the compiler, QEMU or the extra ``emulator`` is missing.
    """
    with emulator_extra():  # told before anything is built
        import elftools  # noqa: F401
    target = get_board(board)
    emulated(target)  # refuses what the emulator has no memory for
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        export_firmware(model, target, project)
        expected = expected_bytes(MicroInterpreter(model), pictures)
        image = build_project(
            project, project / "build", MCUFORMER_EMULATED=True, MCUFORMER_PROFILE=profile
        )
        run = run_firmware(image.elf, target.core, pictures, expected.shape[1], counting=profile)
    if run.status != 0 or run.outputs.shape != expected.shape:
        raise EmulatorError(f"The firmware stopped with status {run.status}: {run.log.strip()}")
    return Emulation(image, run, expected)
