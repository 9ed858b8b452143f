"""Firmware: instructions, bytes and estimated time of whole networks on emulated boards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.models import (
    enlarge,
    one_block_vit,
    paper_architecture,
    random_model,
)
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.metadata import read_architecture
from mcuformer_tflm.firmware.fit import RAM_RESERVE
from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo.catalogue import model_names, model_path

_DEMO = Path("build/demo/model.tflite")


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
    """Exports, builds, counts; takes half an hour, most of it for the paper's network."""
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
    boards = ("stm32f427", "stm32f746", "stm32n657", "stm32h743")
    random = "random weights"
    yield Case("one_block_vit", random_model(one_block_vit(), images), boards, random)
    if _DEMO.exists():
        yield Case("demo", _DEMO.read_bytes(), boards, str(_DEMO))
    else:
        largest = FASHION_MNIST_SPACE.largest()
        note = f"{random}, the largest of the demo's space: {_DEMO} does not exist"
        yield Case("demo", random_model(largest, images), boards, note)
    for name in model_names():
        yield Case(f"zoo/{name}", model_path(name).read_bytes(), boards[:3], "shipped")
    # Its weights need external flash, which no microcontroller has: they are read once every four
    # tokens, or rarely, in no more arena or in all that the board has.
    discovery, paper = "stm32f746-discovery", paper_architecture()
    yield Case("paper/f746", random_model(paper, images), (discovery,), random)
    for name, budget in (
        ("same_arena", arena_bytes(paper)),
        ("whole_sram", get_board(discovery).arena_budget - RAM_RESERVE),
    ):
        model = random_model(paper, images, arena_budget=budget)
        note = f"{random}, converted for an arena of {budget:,} bytes"
        yield Case(f"paper/f746/{name}", model, (discovery,), note)


def measure(case: Case, board: str, images: np.ndarray) -> Iterator[Row]:
    """Yields the rows of one network on one board.

    Raises:
        EmulatorError: If the firmware's logits are not TFLM's.
    """
    architecture = read_architecture(read_graph(case.model))
    picture = datasets.quantize_images(enlarge(images[:1], architecture))
    figures = measure_firmware(case.model, board, picture)

    def row(metric: str, value: float, unit: str, note: str = "") -> Row:
        text = "; ".join(filter(None, (board, case.note, note)))
        return Row("firmware", case.name, metric, value, unit, figures.core, text)

    yield row("instructions", figures.instructions, "instructions")
    per_mac = round(figures.instructions / figures.macs, 4)
    yield row("instructions_per_mac", per_mac, "instructions", f"{figures.macs:,} MACs")
    yield row("code_bytes", figures.code_bytes, "bytes", "start-up and application included")
    yield row("constant_bytes", figures.constant_bytes, "bytes")
    yield row(
        "arena_bytes", figures.arena_bytes, "bytes", "of the firmware: nothing persistent in it"
    )
    yield row(
        "external_bytes_read", figures.external_bytes_read, "bytes",
        "loaded by instructions from external flash, no cache",
    )  # fmt: skip
    yield row("stack_bytes", figures.stack_bytes, "bytes", "of one inference, mcuformer_run")
    if figures.milliseconds_estimated is not None:
        yield row(
            "milliseconds_estimated", figures.milliseconds_estimated, "ms",
            f"an estimate: {figures.cycles_per_instruction:.3f} cycles an instruction (llvm-mca, "
            f"all code that ran on {figures.core}), {figures.megahertz} MHz, no wait for internal "
            "flash",
        )  # fmt: skip
    if figures.milliseconds_external_flash_estimated is not None:
        speed = get_board(board).external_bytes_per_second
        yield row(
            "milliseconds_external_flash_estimated",
            figures.milliseconds_external_flash_estimated, "ms",
            f"an estimate, to add: the bytes read at {speed / 1e6:.0f} MB/s, nothing cached, "
            "nothing overlapped",
        )  # fmt: skip
    for name, instructions in figures.by_operator.items():
        operator = f"{case.name}/{name.removeprefix('run_')}"
        yield dataclasses.replace(row("instructions", instructions, "instructions"), case=operator)
        read = figures.external_by_operator[name]
        if read:
            yield dataclasses.replace(row("external_bytes_read", read, "bytes"), case=operator)
