"""Measured cycles beside the emulator's instructions and our estimates, operator by operator."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.firmware.profile.log import ProfileLog
from mcuformer_tflm.firmware.source import checksum, operator_names
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.image_input import image_shape
from mcuformer_tflm.tflite.model_graph import ModelGraph

# What counts on a real core (support/board/cycles.cc).
CORE_COUNTER = "DWT"


@dataclasses.dataclass(frozen=True)
class OperatorProfile:
    """One operator in one inference.

    Attributes:
        name: Its function's name.
        code: Its custom code.
        instructions: Counted on the emulator.
        external_bytes: Loaded from external flash, counted too.
        cycles_estimated: Of those instructions and bytes; of a core without a model of its
            pipelines (the M55) one an instruction.
        cycles: Measured, the mean over all inferences.
    """

    name: str
    code: str
    instructions: int
    external_bytes: int
    cycles_estimated: float
    cycles: float

    @property
    def cycles_per_instruction(self) -> float:
        """Measured."""
        return self.cycles / self.instructions

    @property
    def ratio(self) -> float:
        """Measured cycles to estimated ones."""
        return self.cycles / self.cycles_estimated


@dataclasses.dataclass(frozen=True)
class Profile:
    """A log beside what was expected.

    Attributes:
        board: Whose program it is.
        core: Its core.
        megahertz: Its clock.
        counter: What counted; ``CORE_COUNTER``, or something that stands in for it.
        totals: Cycles of each inference.
        camera_cycles: Spent waiting for the picture, a mean; part of no operator.
        operators: In order.
    """

    board: str
    core: str
    megahertz: int
    counter: str
    totals: tuple[int, ...]
    camera_cycles: float
    operators: tuple[OperatorProfile, ...]

    @property
    def inferences(self) -> int:
        """How many were measured."""
        return len(self.totals)

    @property
    def of_a_core(self) -> bool:
        """Whether a core's own counter counted."""
        return self.counter == CORE_COUNTER

    def figures(self) -> dict[str, Any]:
        """Returns everything as JSON has it."""
        core = self.internal
        return {
            **dataclasses.asdict(self),
            "operators": [_figures(row) for row in self.operators],
            "total": _figures(self.total),
            "milliseconds": self.milliseconds(self.total.cycles),
            "milliseconds_estimated": self.milliseconds(self.total.cycles_estimated),
            "cycles_per_instruction": None if core is None else core.cycles_per_instruction,
            "external_bytes_per_second": self.external_bytes_per_second,
        }

    def milliseconds(self, cycles: float) -> float:
        """Returns what some cycles take at the board's clock."""
        return cycles / self.megahertz / 1000

    @functools.cached_property
    def total(self) -> OperatorProfile:
        """All operators together."""
        return _sum("total", self.operators)

    @functools.cached_property
    def internal(self) -> OperatorProfile | None:
        """The operators that read no external flash, together; None if there are none.

        Their cycles an instruction are the core's, by which later estimates are calibrated: bytes
        of external flash are estimated on their own and added, and would else be counted twice.
        """
        internal = [row for row in self.operators if not row.external_bytes]
        return _sum("internal", internal) if internal else None

    @property
    def external_bytes_per_second(self) -> float | None:
        """At which external flash was read, if all other cycles are instructions.

        None where there is no operator that reads it, or none that does not.
        """
        rest = [row for row in self.operators if row.external_bytes]
        if not rest or self.internal is None:
            return None
        external = _sum("external", rest)
        instructions = external.instructions * self.internal.cycles_per_instruction
        waiting = external.cycles - instructions
        return external.external_bytes * self.megahertz * 1e6 / waiting if waiting > 0 else None


def first_picture(pictures: AnyPath, model: Model) -> np.ndarray:
    """Returns the first picture of an ``input.bin``, int8[1, height, width, channels].

    Raises:
        DataError: If it cannot be read, or holds no whole number of the model's pictures.
    """
    file = checked_path("input", pictures)
    shape = image_shape(read_our_graph(model))
    try:
        content = np.fromfile(file, np.int8)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}).") from error
    size = math.prod(shape)
    if len(content) == 0 or len(content) % size:
        raise DataError(
            f"{file} has {len(content):,} bytes; pictures of this model have {size:,} each, "
            f"{' x '.join(map(str, shape))}."
        )
    return content[:size].reshape(1, *shape)


def compare(
    log: ProfileLog, model: Model, board: Board | str, picture: np.ndarray | None = None
) -> Profile:
    """Puts a log beside counted instructions and estimates.

    Args:
        log: Of a board.
        model: The ``.tflite`` whose firmware wrote it: its path, or its bytes.
        board: The board, its name or its file.
        picture: int8[1, height, width, channels] whose instructions are counted; they depend
            little on it. None for noise.

    Raises:
        ConfigError: If the log is of another model or board.
        ModelError: If the model cannot be read.
        ToolchainError: If the compiler, llvm-mca or the extra ``emulator`` is missing.
    """
    target = get_board(board)
    content = model_content(model)
    graph = read_our_graph(content)
    _check_program(log, content, graph, target)
    if picture is None:
        shape = (1, *image_shape(graph))
        picture = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int8)
    figures = measure_firmware(content, target, picture)
    # A board whose flash is read tells its speed, or would have been refused.
    per_byte = figures.megahertz * 1e6 / (target.external_bytes_per_second or math.inf)
    operators = tuple(
        OperatorProfile(
            name=name,
            code=operator.code,
            instructions=figures.by_operator[function],
            external_bytes=figures.external_by_operator[function],
            # Without a model of the core: one an instruction.
            cycles_estimated=figures.cycles_by_operator.get(
                function, float(figures.by_operator[function])
            )
            + figures.external_by_operator[function] * per_byte,
            cycles=float(cycles),
        )
        for name, operator, function, cycles in zip(
            log.operators, graph.operators, figures.by_operator, log.cycles.mean(axis=0),
            strict=True,
        )
    )  # fmt: skip
    return Profile(
        board=target.name,
        core=target.core,
        megahertz=figures.megahertz,
        counter=log.program.counter,
        totals=tuple(log.cycles.sum(axis=1).tolist()),
        camera_cycles=float(log.camera_cycles.mean()),
        operators=operators,
    )


def _figures(row: OperatorProfile) -> dict[str, Any]:
    return {
        **dataclasses.asdict(row),
        "cycles_per_instruction": row.cycles_per_instruction,
        "ratio": row.ratio,
    }


def _check_program(log: ProfileLog, content: bytes, graph: ModelGraph, board: Board) -> None:
    program = log.program
    if program.model_checksum != checksum(content) or list(log.operators) != operator_names(graph):
        raise ConfigError(
            f"The log is of another model (checksum 0x{program.model_checksum:08x}; this one's is "
            f"0x{checksum(content):08x}). Give the .tflite whose firmware wrote it."
        )
    told = (program.board, program.core, program.megahertz)
    if told != (board.name, board.core, board.megahertz or 0):
        raise ConfigError(
            f"The log is of {_describe(*told)}; the board is "
            f"{_describe(board.name, board.core, board.megahertz or 0)}. Give the board for which "
            "the firmware was written."
        )


def _describe(name: str, core: str, megahertz: int) -> str:
    return f"{name} ({core}, {f'{megahertz} MHz' if megahertz else 'of unknown clock'})"


def _sum(name: str, rows: Sequence[OperatorProfile]) -> OperatorProfile:
    return OperatorProfile(
        name,
        "",
        sum(row.instructions for row in rows),
        sum(row.external_bytes for row in rows),
        sum(row.cycles_estimated for row in rows),
        sum(row.cycles for row in rows),
    )
