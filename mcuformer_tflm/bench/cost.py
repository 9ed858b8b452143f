"""How far the cost of networks that do not exist yet is from what the emulator counts of them.

Subnets are drawn from every space that is shipped, converted with random weights, built as firmware
and counted. Blocks of one subnet that are alike run the same instructions, so each kind is counted
once; the first block, whose constants differ most, by itself. The models of the zoo, whose weights
are trained, come beside them. Counts are kept in a file, so that an interrupted run goes on.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.instruction_fit import kernels_digest
from mcuformer_tflm.bench.model_counter import (
    BOARDS,
    ModelCounter,
    core_processes,
    count_whole,
    counting_board,
)
from mcuformer_tflm.bench.models import random_model
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.bench.spaces import SHIPPED_SPACES
from mcuformer_tflm.convert.metadata import read_architecture
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.plan.cost import estimate_graph_cost
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.subnet_cost import SubnetCost
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo import catalogue

SUBNETS = 50
# Less internal flash than the networks of the demo's space need.
_SMALL_FLASH, _EXTERNAL_SUBNETS = 64 * 1024, 10
_IMAGES = 4
_KEPT = Path("build/bench-cost.json")
_EVALUATED = 1_000_000


def run(progress: Report) -> list[Row]:
    """Returns the errors by space and core, of the zoo, and how many subnets a second are costed.

    Takes about half an hour of processor time, most of it for the paper's space.
    """
    rows: list[Row] = []
    for name, space in SHIPPED_SPACES.items():
        counted = count_space(name, space, SUBNETS, progress)
        for core in BOARDS:
            rows += compare(name, space, counted, core)
    rows += external_rows(progress)
    rows += zoo_rows()
    progress("evaluate a million subnets", 0, 1)
    rows.append(evaluation_rate())
    progress("evaluate a million subnets", 1, 1)
    return rows


def drawn(space: SearchSpace, count: int) -> list[Any]:
    """Returns the subnets of a space that are counted."""
    rng = np.random.default_rng(1)
    return [space.sample(rng) for _ in range(count)]


def unlike_blocks(architecture: Architecture) -> list[int]:
    """Returns how often blocks are there that are counted: the first, then one of each kind."""
    kinds = list(zip(architecture.num_heads, architecture.mlp_ratio, strict=True))
    return [1, *Counter(kinds[1:]).values()]


def of_blocks(architecture: Architecture, times: Sequence[int]) -> Architecture:
    """Returns the network of the blocks that ``unlike_blocks`` counts."""
    kinds = list(zip(architecture.num_heads, architecture.mlp_ratio, strict=True))
    heads, ratios = zip(kinds[0], *Counter(kinds[1:]), strict=True)
    assert len(heads) == len(times)
    return dataclasses.replace(architecture, num_heads=heads, mlp_ratio=ratios)


def count_space(
    name: str, space: SearchSpace, count: int, progress: Report, kept: Path = _KEPT
) -> Mapping[str, Mapping[str, int]]:
    """Counts subnets of a space on every core.

    Args:
        name: What the counts are kept by.
        space: The space.
        count: How many subnets.
        progress: Called with (what is being done, done, total).
        kept: File with the counts of earlier runs.

    Returns:
        By core and subnet's number, instructions.

    Raises:
        EmulatorError: If a program fails.
        ToolchainError: If the compiler or the extra ``emulator`` is missing.
    """
    images = datasets.fashion_mnist().train_images[:_IMAGES]
    done = _read(kept)
    key = f"{name}, {kernels_digest()}"
    found = {core: done.setdefault(core, {}).setdefault(key, {}) for core in BOARDS}
    subnets = drawn(space, count)
    with tempfile.TemporaryDirectory() as folder, core_processes() as processes:
        waiting: list[tuple[str, int, Future[int]]] = []
        for number, subnet in enumerate(subnets):
            missing = [core for core in BOARDS if str(number) not in found[core]]
            if missing:
                blocks = unlike_blocks(subnet)
                model = Path(folder) / f"{number}.tflite"
                model.write_bytes(random_model(of_blocks(subnet, blocks), images, number))
                waiting += [
                    (core, number,
                     processes[core].submit(count_whole, core, model, blocks, Path(folder) / core))
                    for core in missing
                ]  # fmt: skip
            progress(f"convert {name}", number + 1, count)
        for index, (core, number, future) in enumerate(waiting):
            found[core][str(number)] = future.result()
            _write(done, kept)
            progress(f"count {name}", index + 1, len(waiting))
    return found


def compare(
    name: str, space: SearchSpace, counted: Mapping[str, Mapping[str, int]], core: str
) -> Iterator[Row]:
    """Yields the errors of one space on one core."""
    board = counting_board(core)
    errors = np.array([
        estimate_cost(subnet, board).instructions / counted[core][str(number)] - 1
        for number, subnet in enumerate(drawn(space, len(counted[core])))
    ])  # fmt: skip
    note = f"of {len(errors)} random subnets, against the emulator's count"
    for metric, value in (
        ("instructions_error_mean", np.mean(np.abs(errors))),
        ("instructions_error_worst", np.max(np.abs(errors))),
    ):
        yield Row("cost", name, metric, round(100 * float(value), 3), "%", core, note)


def external_rows(progress: Report) -> Iterator[Row]:
    """Yields the error of bytes read, where internal flash holds a part of small networks."""
    images = datasets.fashion_mnist().train_images[:_IMAGES]
    board = dataclasses.replace(counting_board("cortex-m7"), flash=_SMALL_FLASH)
    errors = []
    with tempfile.TemporaryDirectory() as folder:
        counter = ModelCounter("cortex-m7", Path(folder) / "build", board)
        for number, subnet in enumerate(drawn(FASHION_MNIST_SPACE, _EXTERNAL_SUBNETS)):
            progress("count loads from external flash", number, _EXTERNAL_SUBNETS)
            counted = counter.count(random_model(subnet, images, number), loads=True)
            estimated = estimate_cost(subnet, board).external_bytes
            errors.append(abs(estimated / counted.external_bytes_read - 1))
    progress("count loads from external flash", _EXTERNAL_SUBNETS, _EXTERNAL_SUBNETS)
    note = f"of {len(errors)} random subnets, {_SMALL_FLASH // 1024} KiB of internal flash"
    for metric, value in (("mean", np.mean(errors)), ("worst", np.max(errors))):
        yield Row(
            "cost", "fashion_mnist", f"external_bytes_error_{metric}",
            round(100 * float(value), 3), "%", "cortex-m7", note,
        )  # fmt: skip


def zoo_rows() -> Iterator[Row]:
    """Yields the errors of the zoo's models: from the architecture alone, and from the file."""
    for name, card in catalogue.model_cards().items():
        graph = read_graph(catalogue.model_path(name).read_bytes())
        architecture = read_architecture(graph)
        for board in ("stm32f427", "stm32f746"):
            counted = (card.boards or {})[board].instructions
            core = get_board(board).core
            estimates = {"architecture": estimate_cost(architecture, board, kept=_kept(graph)),
                         "graph": estimate_graph_cost(graph, board)}  # fmt: skip
            for source, estimate in estimates.items():
                if estimate is not None:
                    error = abs(estimate.instructions / counted - 1)
                    yield Row(
                        "cost", f"zoo/{name}", f"instructions_error_of_{source}",
                        round(100 * error, 3), "%", core, "against the card's count",
                    )  # fmt: skip


def evaluation_rate() -> Row:
    """Returns how many subnets of the paper's space a second get instructions and time."""
    space = SearchSpace()
    tables = SubnetCost(space, "stm32f746-discovery")
    subnets = EncodedSubnets.sample(space, _EVALUATED, np.random.default_rng(0))
    start = time.process_time()
    tables.evaluate(subnets)
    rate = len(subnets) / (time.process_time() - start)
    note = "instructions, bytes from external flash and milliseconds, on one core"
    return Row("cost", "paper", "evaluated_per_second", round(rate), "subnets", note=note)


def _kept(graph: Any) -> tuple[int, ...]:
    attention = [op for op in graph.operators if op.code == "McuformerAttention"]
    return tuple(block for block, op in enumerate(attention) if op.inputs[2] < 0)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(content: Mapping[str, Any], path: Path) -> None:
    write_whole(path, json.dumps(content, indent=1) + "\n")
