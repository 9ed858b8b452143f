"""The paper's Figure 3: peak memory as one technique after another is used.

Two columns that must not be mixed: the paper's accounting, which stages weights in SRAM (Eq. 5
and its counterparts without a technique), and what TFLM's arena really takes on this machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.builtin_model import builtin_model
from mcuformer_tflm.bench.memory import paper_architectures, random_quantized
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.plan.memory_plan import METADATA_NAME, RECORD_NAME
from mcuformer_tflm.runtime.probe import measure
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.memory import eq5_bytes, fully_connected_shapes
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.tflite.file import pack, read_files, unpack

_SUITE = "figure3"
_HOST_ARENA = 1 << 25
_FLOAT_BYTES = 4
_TILE = 4
# The paper gives no architecture for the H743; it takes the largest of the space.
BOARDS = {
    "stm32f427": "paper/f427",
    "stm32f746": "paper/f746",
    "stm32h743": "paper/largest",
}


@dataclasses.dataclass(frozen=True)
class Technique:
    """One bar: everything up to this technique is used.

    Attributes:
        name: What is new in it.
        paper: The paper's accounting, bytes.
        model: The ``.tflite`` whose arena is measured.
    """

    name: str
    paper: Callable[[Architecture], int]
    model: Callable[[Architecture, Subnet], bytes]


def run(progress: Report) -> list[Row]:
    """Measures every technique for every board."""
    rows: list[Row] = []
    for done, (board, case) in enumerate(BOARDS.items()):
        progress("reproduce Figure 3", done, len(BOARDS))
        rows += _board_rows(board, paper_architectures()[case])
    progress("reproduce Figure 3", len(BOARDS), len(BOARDS))
    return rows


def accounted_bytes(
    architecture: Architecture,
    integer: bool,
    decomposed: bool,
    overwritten: bool,
    streamed: bool = False,
) -> int:
    """Returns peak memory in the paper's way of counting, with some of its techniques.

    A layer takes its weights and its input and output, int8, in one buffer where tokens are
    overwritten: with all three techniques this is Eq. 5, where the fully connected layers are
    the peak. Without them also count: normalisation, GELU and softmax on float copies of their
    tensors; the patch embedding with all its filters, a patch and the tokens. Decomposed it has
    one tile's filters and an int32 buffer of one token.

    Args:
        architecture: The network.
        integer: Whether normalisation, GELU and softmax work on integers.
        decomposed: Whether the patch embedding is decomposed.
        overwritten: Whether output tokens overwrite input tokens.
        streamed: Whether the MLP holds the stream and one matrix only, and attention the
            stream, the context, and keys, values and filters of one head: not in the paper.
    """
    arch = architecture
    n, dim = arch.num_tokens + 1, arch.embed_dim  # the paper counts a class token
    join = max if overwritten else lambda a, b: a + b
    peaks = []
    for name, units, width in fully_connected_shapes(arch):
        if streamed and "_fc" in name:
            peaks.append(units * width + n * dim)
        elif streamed and "_qkv" in name:
            one_head = 3 * arch.head_dim * width + 2 * n * arch.head_dim
            peaks.append(one_head + n * dim + n * units // 3)
        elif name != "head":
            peaks.append(units * width + n * join(units, width))
    side = _TILE if decomposed else arch.patch_size
    values = side**2 * arch.channels
    partial_sums = 4 * dim if decomposed else 0
    peaks.append(values * dim + values + partial_sums + n * dim)
    bytes_each = 1 if integer else _FLOAT_BYTES
    hidden = max(arch.hidden_dim(block) for block in range(arch.depth))
    held = (n * dim,) if streamed else (n * dim, n * hidden, n * n)
    peaks += [bytes_each * elements for elements in held]
    return max(peaks)


def techniques() -> list[Technique]:
    """Returns the bars in the paper's order, then ours."""

    def accounted(*techniques: bool) -> Callable[[Architecture], int]:
        return lambda architecture: accounted_bytes(architecture, *techniques)

    def unplanned(tile: int | None) -> Callable[[Architecture, Subnet], bytes]:
        return lambda arch, network: _without_plan(
            convert(network, _labels(arch), schedule="paper", tile=tile or arch.patch_size)
        )

    return [
        Technique("none", accounted(False, False, False), lambda arch, _: builtin_model(arch)),
        Technique("+ integer operators", accounted(True, False, False), unplanned(None)),
        Technique("+ patch embedding decomposed", accounted(True, True, False), unplanned(_TILE)),
        Technique(
            "+ token overwriting", accounted(True, True, True),
            lambda arch, network: convert(network, _labels(arch), schedule="paper"),
        ),
        Technique(
            "+ streaming", accounted(True, True, True, True),
            lambda arch, network: convert(network, _labels(arch)),
        ),
        Technique(
            "+ image in strips", accounted(True, True, True, True),
            lambda arch, network: convert(network, _labels(arch), image="strips"),
        ),
    ]  # fmt: skip


def draw(rows: list[Row], path: Path) -> None:
    """Draws both columns as bars, a picture a board with its SRAM as a line.

    Args:
        rows: From ``run``.
        path: ``.png`` or ``.svg``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    names = [technique.name for technique in techniques()]
    for number, board in enumerate(BOARDS):
        axes = figure.add_subplot(1, len(BOARDS), number + 1)
        for metric, colour, shift, label in (
            ("eq5_accounting_bytes", "#b8b8b8", -0.2, "the paper's accounting (weights in SRAM)"),
            ("head_bytes", "#4c78a8", 0.2, "arena head, measured (weights in flash)"),
        ):
            found = {r.case: r.value for r in rows if r.metric == metric}
            heights = [found.get(f"{board}/{name}", 0) / 1024 for name in names]
            positions = np.arange(len(names)) + shift
            axes.bar(positions, heights, 0.4, color=colour, label=label)
        sram = get_board(board).sram / 1024
        axes.axhline(sram, color="#e45756", label=f"SRAM, {sram:.0f} KiB")
        axes.set(title=board, ylabel="peak memory, KiB", xticks=range(len(names)))
        axes.set_xticklabels(names, rotation=35, ha="right", fontsize=8)
        axes.legend(fontsize=7)
    save_picture(figure, path)


def _board_rows(board: str, architecture: Architecture) -> Iterator[Row]:
    network = random_quantized(architecture)
    for technique in techniques():
        case = f"{board}/{technique.name}"
        value = technique.paper(architecture)
        yield Row(_SUITE, case, "eq5_accounting_bytes", value, "bytes",
                  note="the paper's accounting, no arena")  # fmt: skip
        interpreter = open_interpreter(technique.model(architecture, network), _HOST_ARENA)
        used = measure(interpreter, "tflm")
        yield Row(_SUITE, case, "head_bytes", used["head"], "bytes",
                  note="measured in TFLM; the same on a Cortex-M")  # fmt: skip
        yield Row(_SUITE, case, "arena_bytes_host", used["head"] + used["tail"], "bytes",
                  note="measured in TFLM on this machine (64-bit)")  # fmt: skip
    yield Row(_SUITE, board, "eq5_bytes", eq5_bytes(architecture, class_token=True), "bytes",
              note="Eq. 5, what the paper prints")  # fmt: skip


def _labels(architecture: Architecture) -> list[str]:
    return [str(number) for number in range(architecture.num_classes)]


def _without_plan(content: bytes) -> bytes:
    # TFLM's own planner then places every tensor, none over another.
    model = unpack(content)
    names = {METADATA_NAME.encode(), RECORD_NAME.encode()}
    model.metadata = [entry for entry in model.metadata if entry.name not in names]
    return pack(model, read_files(content))
