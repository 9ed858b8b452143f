"""Small networks whose operators are counted, so that what a loop costs can be told from them."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm.bench.model_counter import BOARDS, Sample, core_processes, count_operators
from mcuformer_tflm.bench.models import random_model
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.progress import Report

_SEED = 7


@dataclasses.dataclass(frozen=True)
class SampleNetwork:
    """A network, and how it is quantized and converted.

    Attributes:
        architecture: The network.
        quantization: Of it.
        options: ``convert``'s.
    """

    architecture: Architecture
    quantization: QuantizationConfig
    options: dict[str, Any]


def sample_networks(count: int, seed: int = _SEED) -> list[SampleNetwork]:
    """Draws networks of few tokens: every option, and sizes that fill no block, among them."""
    rng = np.random.default_rng(seed)
    return [_draw(rng, index) for index in range(count)]


def _draw(rng: np.random.Generator, index: int) -> SampleNetwork:
    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    # Half of them as spaces draw them, half with every option by chance.
    optional = index % 2 == 1
    stem = one_of("patch", "conv")
    patch = one_of(4, 8) if stem == "conv" else one_of(2, 3, 4, 5, 6, 7, 8)
    rows, columns = one_of(1, 2, 3, 4, 5, 6), one_of(2, 3, 4, 5, 6, 7)
    if index % 6 == 0:
        rows, columns = 2 * rows, 2 * columns
    # Rows of values, or of tokens, for which a core has other loops.
    wide, many = index % 5 == 2, index % 16 == 9
    if wide:
        rows, columns = min(rows, 3), min(columns, 3)
    if many:
        patch, rows, columns = 4, 14, 14
    ragged = patch - 1 if rng.random() < 0.3 else 1
    height, width = (patch * side - int(rng.integers(ragged)) for side in (rows, columns))
    depth = 2 if wide or many else 4
    regular = rng.random() < 0.5
    architecture = Architecture(
        image_size=(max(height, patch), max(width, patch)),
        channels=one_of(1, 1, 2, 3),
        num_classes=one_of(2, 5, 10, 12, 35),
        patch_size=patch,
        rank_ratio=one_of(None, 0.4, 0.5, 0.65, 0.75, 0.9, 1.0),
        head_dim=one_of(4, 8, 12, 16, 16, 24, 32, 32, 48, 64) if regular else one_of(*range(3, 40)),
        embed_dim=one_of(192, 200, 216, 225, 256)
        if wide
        else 8 * one_of(*range(2, 13 if not many else 4))
        if regular
        else one_of(*range(9, 90 if not many else 30)),
        num_heads=tuple(one_of(1, 2, 3, 4) for _ in range(depth)),
        mlp_ratio=tuple(one_of(1.0, 1.5, 2.0, 3.0, 4.0) for _ in range(depth)),
        relative_position=one_of(False, True),
        pooling=one_of("mean", "class_token") if optional else "mean",
        stem=stem,
    )
    if optional and architecture.rank_ratio is not None:
        architecture = dataclasses.replace(architecture, low_rank_attention=one_of(False, True))
    schedule = one_of("streamed", "streamed", "kept", "paper") if optional else "streamed"
    return SampleNetwork(
        architecture,
        QuantizationConfig(one_of(4, 8), one_of(8, 16)) if optional else INT8,
        {
            "schedule": schedule,
            "image": one_of("whole", "strips") if optional else "whole",
            "block_tokens": one_of(None, None, 8, 12, 16, 32, 1024) if optional else None,
        },
    )


def count_networks(
    networks: Sequence[SampleNetwork], images: np.ndarray, progress: Report
) -> dict[str, tuple[list[Sample], list[float]]]:
    """Converts networks of random weights, and counts every operator on every core.

    Args:
        networks: The networks.
        images: uint8[n, height, width, 1] to calibrate on.
        progress: Called with (what is being done, done, total).

    Returns:
        By core: the samples, and llvm-mca's cycles of each network, in order.

    Raises:
        EmulatorError: If a program fails.
        ToolchainError: If the compiler, llvm-mca or the extra ``emulator`` is missing.
    """
    samples: dict[str, list[Sample]] = {core: [] for core in BOARDS}
    cycles: dict[str, list[float]] = {core: [] for core in BOARDS}
    with tempfile.TemporaryDirectory() as folder, core_processes() as processes:
        waiting = []
        for number, network in enumerate(networks):
            progress("convert, and count", number, len(networks))
            path = Path(folder) / f"{number}.tflite"
            path.write_bytes(
                random_model(
                    network.architecture, images, number, network.quantization, **network.options
                )
            )
            for core, process in processes.items():
                future = process.submit(count_operators, core, Path(folder) / core, number, path)
                waiting.append((core, future))
        for done, (core, future) in enumerate(waiting):
            found, estimated = future.result()
            samples[core] += found
            cycles[core].append(estimated)
            progress("count", done + 1, len(waiting))
    return {core: (samples[core], cycles[core]) for core in BOARDS}
