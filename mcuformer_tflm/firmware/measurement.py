"""What a model's firmware takes on a board: instructions, bytes, estimated time."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.arm_boards import emulated
from mcuformer_tflm.emulator.cycle_model import CYCLE_MODELS, estimated_cycles_by_part
from mcuformer_tflm.emulator.firmware_counter import FirmwareCount, count_inference
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.emulation import expected_bytes
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.firmware.source import operator_functions
from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.exceptions import ConfigError, EmulatorError
from mcuformer_tflm.plan.macs import graph_macs
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import Board, get_board


@dataclasses.dataclass(frozen=True)
class FirmwareFigures:
    """One inference of a model's firmware on a board, emulated.

    Attributes:
        core: The emulated core.
        macs: Multiply-accumulates of the network.
        instructions: All instructions of ``mcuformer_run``.
        by_operator: Instructions of each operator's function, in order of execution.
        code_bytes: Program, start-up included.
        constant_bytes: Weights and tables in flash.
        arena_bytes: The firmware's arena: there is no interpreter, and nothing persistent in it.
        stack_bytes: The most stack in use in one inference, the application's not counted.
        cycles_per_instruction: The board's own, where it is calibrated; else of all code that ran,
            llvm-mca's estimate. None where llvm-mca has no model of the core.
        cycles_by_operator: Of each operator's function by the same estimate; else empty.
        megahertz: The board's clock.
        milliseconds_estimated: The instructions at that clock, no wait for internal flash; or None.
        external_bytes_read: Bytes that instructions loaded from external flash, counted.
        external_by_operator: Those of each operator's function, in order of execution.
        milliseconds_external_flash_estimated: To add to it: those bytes at the flash's speed,
            nothing cached, nothing overlapped. None where no constant lies there.
    """

    core: str
    macs: int
    instructions: int
    by_operator: Mapping[str, int]
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    stack_bytes: int
    cycles_per_instruction: float | None
    cycles_by_operator: Mapping[str, float]
    megahertz: int
    milliseconds_estimated: float | None
    external_bytes_read: int
    external_by_operator: Mapping[str, int]
    milliseconds_external_flash_estimated: float | None


def measure_firmware(model: bytes, board: Board | AnyPath, picture: np.ndarray) -> FirmwareFigures:
    """Exports and builds a model's firmware for the emulator, and counts one inference.

    Args:
        model: Content of a ``.tflite``.
        board: Whose memory it is linked for, its name, or its TOML file.
        picture: int8[1, height, width, channels].

    Raises:
        ConfigError: If the board's clock is not known, or the speed of external flash that is used.
        EmulatorError: If the board has more memory than the emulator, or the firmware's logits are
            not TFLM's.
        ToolchainError: If the compiler, llvm-mca or the extra ``emulator`` is missing.
    """
    target = get_board(board)
    if target.megahertz is None:
        raise ConfigError(
            f"board is {target.name!r}, whose clock is not known; firmware is measured on boards "
            "with megahertz."
        )
    emulated(target)  # refuses what the emulator has no memory for
    interpreter = MicroInterpreter(model)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        placement = export_firmware(model, target, project)
        image = build_project(project, project / "build", MCUFORMER_EMULATED=True)
        count = _count(interpreter, image.elf, target.core, picture)
    cycles, by_operator = _estimate(count, target)
    wait = None
    if placement.external_bytes:
        if not target.external_bytes_per_second:
            raise ConfigError(
                f"board is {target.name!r}, whose external flash holds constants and is of unknown "
                "speed; give external_bytes_per_second (in a file, bytes_per_second)."
            )
        wait = count.external_bytes_read / target.external_bytes_per_second * 1000
    return FirmwareFigures(
        core=target.core,
        macs=graph_macs(interpreter.graph),
        instructions=count.instructions,
        by_operator=count.by_operator,
        code_bytes=image.code_bytes,
        constant_bytes=image.constant_bytes,
        arena_bytes=placement.arena_bytes,
        stack_bytes=count.stack_bytes,
        cycles_per_instruction=None if cycles is None else cycles / count.instructions,
        cycles_by_operator=by_operator,
        megahertz=target.megahertz,
        milliseconds_estimated=None
        if cycles is None
        else round(cycles / target.megahertz / 1000, 2),
        external_bytes_read=count.external_bytes_read,
        external_by_operator=count.external_by_operator,
        milliseconds_external_flash_estimated=None if wait is None else round(wait, 1),
    )


def _estimate(count: FirmwareCount, board: Board) -> tuple[float | None, dict[str, float]]:
    """Returns the cycles of the inference and of each operator's function, if they are known."""
    if board.cycles_per_instruction is not None:
        each = board.cycles_per_instruction
        by_operator = {name: each * number for name, number in count.by_operator.items()}
        return each * count.instructions, by_operator
    if board.core not in CYCLE_MODELS:
        return None, {}
    parts = [count.executed, *count.executed_by_operator.values()]
    total, *cycles = estimated_cycles_by_part(parts, board.core)
    return total, dict(zip(count.executed_by_operator, cycles, strict=True))


def _count(
    interpreter: MicroInterpreter, elf: Path, core: str, picture: np.ndarray
) -> FirmwareCount:
    functions = operator_functions(interpreter.graph)
    (expected,) = expected_bytes(interpreter, picture)
    count = count_inference(elf, core, picture, len(expected), functions)
    if not np.array_equal(count.output, expected):
        raise EmulatorError(f"The firmware's answer on {core} differs from TFLM's.")
    return count
