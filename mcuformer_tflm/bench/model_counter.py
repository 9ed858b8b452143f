"""Counts models on emulated cores, a process a core; it never loads TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mcuformer_tflm.emulator.cycle_model import estimated_cycles
from mcuformer_tflm.emulator.firmware_counter import FirmwareCount, count_inference
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.firmware.source import operator_functions, output_offsets
from mcuformer_tflm.plan.operator_loops import graph_loops, input_loops
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.operator_loops import OperatorLoops
from mcuformer_tflm.tflite.image_input import image_shape
from mcuformer_tflm.tflite.model_graph import read_graph

# Each core's networks are linked for a board of it.
BOARDS = {"cortex-m4": "stm32f427", "cortex-m7": "stm32h743"}
_BLOCK_OPERATORS = 3


@dataclasses.dataclass(frozen=True)
class Sample:
    """One operator, counted.

    Attributes:
        network: Number of the network that it is of.
        loops: Its loops.
        instructions: What the emulator counted.
    """

    network: int
    loops: OperatorLoops
    instructions: int


@contextlib.contextmanager
def core_processes() -> Iterator[dict[str, ProcessPoolExecutor]]:
    """Yields a process for each core, so that each has one folder of builds."""
    # A fork of a process that has run TensorFlow hangs.
    with contextlib.ExitStack() as stack:
        yield {
            core: stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            for core in BOARDS
        }


def count_operators(core: str, folder: Path, number: int, path: Path) -> tuple[list[Sample], float]:
    """Returns the operators of a model, counted, and llvm-mca's cycles of the whole."""
    counter = ModelCounter(core, folder)
    model = path.read_bytes()
    count, graph = counter.count(model), read_graph(model)
    parts = zip(graph_loops(graph), count.by_operator.values(), strict=True)
    samples = [Sample(number, loops, made) for loops, made in parts if loops is not None]
    outside = count.instructions - sum(count.by_operator.values())
    samples.append(Sample(number, input_loops(graph), outside))
    return samples, estimated_cycles(count.executed, core)


class ModelCounter:
    """Counts one model after the other; what their firmware shares is compiled once.

    Args:
        core: One of ``BOARDS``.
        folder: Where projects are built, and found again.
        board: Where they are linked, if not on the core's own.
    """

    def __init__(self, core: str, folder: Path, board: Board | None = None) -> None:
        """Starts nothing yet."""
        self._board = board or get_board(BOARDS[core])
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def count(self, model: bytes, *, loads: bool = False) -> FirmwareCount:
        """Returns the instructions of one inference, on random pixels.

        Args:
            model: The model.
            loads: Whether bytes from external flash are counted, too.

        Raises:
            BudgetError: If the model does not fit the board.
            EmulatorError: If the program fails.
            ToolchainError: If the compiler is missing.
        """
        graph = read_graph(model)
        # 4-bit code is compiled into every kernel or into none.
        int4 = any(op.options.get("weight_bits", 8) == 4 for op in graph.operators)
        project = self._folder / f"int{4 if int4 else 8}"
        export_firmware(model, self._board, project)
        elf = build_project(project, project / "build", MCUFORMER_EMULATED=True).elf
        picture = np.random.default_rng(0).integers(-128, 128, (1, *image_shape(graph)), np.int8)
        output_bytes = sum(graph.tensors[index].size for index in output_offsets(graph))
        return count_inference(
            elf, self._board.core, picture, output_bytes, operator_functions(graph),
            loads=loads,
        )  # fmt: skip


def counting_board(core: str) -> Board:
    """Returns where networks are counted: ST's Discovery board, which holds them, by core."""
    discovery = get_board("stm32f746-discovery")
    return dataclasses.replace(discovery, name=f"discovery-{core}", core=core, start_up=None)


def count_whole(core: str, model: Path, times: Sequence[int], folder: Path) -> int:
    """Returns the instructions of a network whose blocks are there so many times."""
    counted = ModelCounter(core, folder, counting_board(core)).count(model.read_bytes())
    return whole_count(counted, times)


def whole_count(counted: FirmwareCount, times: Sequence[int]) -> int:
    """Returns the instructions of a network whose blocks are there so many times."""
    total = counted.instructions
    operators = list(counted.by_operator.values())
    for block, count in enumerate(times):
        first = 1 + _BLOCK_OPERATORS * block
        total += (count - 1) * sum(operators[first : first + _BLOCK_OPERATORS])
    return total
