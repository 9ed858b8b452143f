"""Firmware: instructions, bytes and estimated time of whole networks on emulated boards."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.models import (
    enlarge,
    one_block_vit,
    paper_architecture,
    random_model,
)
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.metadata import read_architecture
from mcuformer_tflm.data import load as datasets
from mcuformer_tflm.emulator.cycle_model import cycles_per_instruction
from mcuformer_tflm.emulator.firmware_counter import FirmwareCount, count_inference
from mcuformer_tflm.firmware.build import FirmwareImage, build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.firmware.source import operator_functions
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.tflite.model_graph import read_graph

_DEMO = Path("build/demo/model.tflite")
# The highest clock of each board's data sheet.
_MEGAHERTZ = {"stm32f427": 180, "stm32f746": 216, "stm32f746-discovery": 216, "stm32h743": 480}
# QSPI flash on four lines at 108 MHz.
_EXTERNAL_BYTES_PER_SECOND = 54_000_000
# Tokens that one pass over a layer's weights serves (kernels/dot.h).
_BLOCK_TOKENS = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """A network on boards.

    Attributes:
        name: Name of the rows.
        model: The converted network.
        boards: Where it is measured.
        note: What the network is.
    """

    name: str
    model: bytes
    boards: tuple[str, ...]
    note: str


def run(progress: Report) -> list[Row]:
    """Exports, builds, counts; takes some minutes, most of them for the paper's network."""
    images = datasets.fashion_mnist().train_images[:4]
    cases_ = list(cases(images))
    rows: list[Row] = []
    pairs = [(case, board) for case in cases_ for board in case.boards]
    for done, (case, board) in enumerate(pairs):
        progress(f"{case.name} on {board}", done, len(pairs))
        rows += measure(case, board, images)
    progress("firmware", len(pairs), len(pairs))
    return rows


def cases(images: np.ndarray) -> Iterator[Case]:
    """Yields the networks."""
    boards = ("stm32f427", "stm32f746", "stm32h743")
    random = "random weights"
    yield Case("one_block_vit", random_model(one_block_vit(), images), boards, random)
    if _DEMO.exists():
        yield Case("demo", _DEMO.read_bytes(), boards, str(_DEMO))
    else:
        largest = FASHION_MNIST_SPACE.largest()
        note = f"{random}, the largest of the demo's space: {_DEMO} does not exist"
        yield Case("demo", random_model(largest, images), boards, note)
    # Its weights need external flash, which no microcontroller has.
    model = random_model(paper_architecture(), images)
    yield Case("paper/f746", model, ("stm32f746-discovery",), random)


def measure(case: Case, board: str, images: np.ndarray) -> Iterator[Row]:
    """Yields the rows of one network on one board.

    Raises:
        EmulatorError: If the firmware's logits are not TFLM's.
    """
    core = get_board(board).core
    graph = read_graph(case.model)
    architecture = read_architecture(graph)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        placement = export_firmware(case.model, board, project)
        image = build_project(project, project / "build", MCUFORMER_EMULATED=True)
        count = _count(case.model, image, core, images, architecture)
        cpi = cycles_per_instruction(image.elf, core)

    def row(metric: str, value: float, unit: str, note: str = "") -> Row:
        text = "; ".join(filter(None, (board, case.note, note)))
        return Row("firmware", case.name, metric, value, unit, core, text)

    yield row("instructions", count.instructions, "instructions")
    per_mac = round(count.instructions / num_macs(architecture), 4)
    yield row("instructions_per_mac", per_mac, "instructions", f"{num_macs(architecture):,} MACs")
    yield row("code_bytes", image.code_bytes, "bytes", "start-up and application included")
    yield row("constant_bytes", image.constant_bytes, "bytes")
    yield row(
        "arena_bytes", placement.arena_bytes, "bytes", "of the firmware: nothing persistent in it"
    )
    yield row("stack_bytes", count.stack_bytes, "bytes", "of one inference, mcuformer_run")
    compute = count.instructions * cpi / _MEGAHERTZ[board] / 1000
    yield row(
        "milliseconds_estimated", round(compute, 2), "ms",
        f"an estimate: {cpi:.3f} cycles an instruction (llvm-mca, inner loop of {core}), "
        f"{_MEGAHERTZ[board]} MHz, no wait for internal flash",
    )  # fmt: skip
    if placement.external_bytes:
        passes = -(-architecture.sequence_length // _BLOCK_TOKENS)
        wait = placement.external_bytes * passes / _EXTERNAL_BYTES_PER_SECOND * 1000
        yield row(
            "milliseconds_external_flash_estimated", round(wait, 1), "ms",
            f"an estimate, to add: external constants read once every {_BLOCK_TOKENS} tokens at "
            f"{_EXTERNAL_BYTES_PER_SECOND / 1e6:.0f} MB/s, nothing cached, nothing overlapped",
        )  # fmt: skip
    for name, instructions in count.by_operator.items():
        operator = name.removeprefix("run_")
        yield dataclasses.replace(
            row("instructions", instructions, "instructions"), case=f"{case.name}/{operator}"
        )


def _count(
    model: bytes, image: FirmwareImage, core: str, images: np.ndarray, architecture: Architecture
) -> FirmwareCount:
    picture = datasets.quantize_images(enlarge(images[:1], architecture))
    interpreter = MicroInterpreter(model)
    functions = operator_functions(interpreter.graph)
    count = count_inference(image.elf, core, picture, architecture.num_classes, functions)
    if not np.array_equal(count.output, interpreter.run(picture)[0]):
        raise EmulatorError(f"The firmware's answer on {core} differs from TFLM's.")
    return count
