"""What a pass of each loop costs on each core, from operators that were counted on the emulator."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.instruction_samples import count_networks, sample_networks
from mcuformer_tflm.bench.model_counter import Sample
from mcuformer_tflm.bench.models import random_model
from mcuformer_tflm.bench.spaces import SHIPPED_SPACES
from mcuformer_tflm.emulator.toolchain import kernel_folder
from mcuformer_tflm.firmware.project import SUPPORT_FOLDER
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.plan.operator_loops import graph_loops
from mcuformer_tflm.search.cost.instructions import COSTS_FILE, slow_layer
from mcuformer_tflm.search.cost.operator_loops import (
    ConvStemLoops,
    FullyConnectedLoops,
    MlpLoops,
    OperatorLoops,
    PatchEmbedLoops,
)
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.tflite.model_graph import read_graph

COMMAND = "python scripts/fit_instruction_costs.py"
_NETWORKS = 110
# Every so many networks one is held out of the fit that tells the errors.
_HELD_OUT = 5
# Of each space, for what their constants are like, by the bits of the residual stream.
_TYPICAL = {8: 4, 16: 2}
_DIGITS = 5
# Loops that take other cycles an instruction than the rest.
_STEPS = (
    "int8 step", "long step", "int4 step", "widened step", "long widened step", "int8 rest step",
    "int4 rest step",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class OperatorFit:
    """One kind of operator on one core.

    Attributes:
        loops: Instructions of a pass of each loop.
        samples: Operators behind them.
        held_out_mean: Mean relative error of those that a second fit has not seen.
        held_out_worst: The greatest.
    """

    loops: dict[str, float]
    samples: int
    held_out_mean: float
    held_out_worst: float


def kernels_digest() -> str:
    """Returns a digest of all that the counts depend on: kernels, and how firmware compiles them.

    Comments and spaces do not count.
    """
    sources = sorted(
        path for path in kernel_folder().rglob("*") if path.suffix in (".cc", ".h", ".S")
    )
    digest = hashlib.sha256()
    for path in [*sources, SUPPORT_FOLDER / "CMakeLists.txt.in"]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"#.*" if path.suffix == ".in" else r"//.*|/\*.*?\*/", "", text)
        digest.update(path.name.encode() + b"".join(line.encode() for line in text.split()))
    return digest.hexdigest()[:16]


def fit_costs(progress: Report, networks: int = _NETWORKS) -> dict[str, Any]:
    """Counts sample networks on every core and fits what each loop costs.

    Args:
        progress: Called with (what is being done, done, total).
        networks: How many.

    Returns:
        The content of ``instruction_costs.json``.

    Raises:
        EmulatorError: If a program fails.
        ToolchainError: If the compiler, llvm-mca or the extra ``emulator`` is missing.
    """
    images = datasets.fashion_mnist().train_images[:4]
    counted = count_networks(sample_networks(networks), images, progress)
    cores = {}
    for core, (samples, cycles) in counted.items():
        cores[core] = fit_core(samples, cycles)
    return {
        "made by": COMMAND,
        "kernels": kernels_digest(),
        "slow units": typical_slow_units(images, progress),
        "cores": cores,
    }


def fit_core(samples: Sequence[Sample], cycles: Sequence[float]) -> dict[str, Any]:
    """Returns what ``instruction_costs.json`` has of a core.

    Args:
        samples: Operators, counted.
        cycles: Of each network of theirs, in order.
    """
    operators = {kind: dataclasses.asdict(fit) for kind, fit in fit_operators(samples).items()}
    return {"cycles": fit_cycles(samples, cycles), "operators": operators}


def fit_cycles(samples: Sequence[Sample], cycles: Sequence[float]) -> dict[str, Any]:
    """Returns the cycles of an instruction, and what a step of the inner loops takes beside it."""
    totals: list[Counter[str]] = [Counter() for _ in cycles]
    for sample in samples:
        totals[sample.network]["instruction"] += sample.instructions
        runs = sample.loops.loops()
        totals[sample.network].update({name: runs.get(name, 0) for name in _STEPS})
    names = ["instruction", *_STEPS]
    table = np.array([[total[name] for name in names] for total in totals], np.float64)
    found = np.array(cycles, np.float64)
    scale = np.maximum(np.abs(table).max(0), 1)
    fitted = np.linalg.lstsq(table / scale / found[:, None], np.ones(len(found)), rcond=None)[0]
    costs = dict(zip(names, (float(cost) for cost in fitted / scale), strict=True))
    error = np.abs(table @ (fitted / scale) / found - 1)
    return {
        "instruction": round(costs.pop("instruction"), 4),
        "loops": {name: round(cost, 3) for name, cost in costs.items()},
        "error_mean": round(float(error.mean()), 5),
        "error_worst": round(float(error.max()), 5),
    }


def fit_operators(samples: Sequence[Sample]) -> dict[str, OperatorFit]:
    """Returns the costs of each kind of operator, by least squares of relative errors."""
    kinds: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.loops.kind].append(sample)
    return {kind: _fit(kinds[kind]) for kind in sorted(kinds)}


def _fit(samples: Sequence[Sample]) -> OperatorFit:
    loops = [sample.loops.loops() for sample in samples]
    names = sorted({name for one in loops for name in one})
    runs = np.array([[one.get(name, 0) for name in names] for one in loops], np.float64)
    counts = np.array([sample.instructions for sample in samples], np.float64)
    # Whole networks: the blocks of one have much in common.
    networks = sorted({sample.network for sample in samples})
    kept_apart = set(networks[_HELD_OUT - 1 :: _HELD_OUT])
    held_out = np.array([sample.network in kept_apart for sample in samples])
    seen = _solve(runs[~held_out], counts[~held_out])
    error = np.abs(runs[held_out] @ seen / counts[held_out] - 1) if kept_apart else np.zeros(1)
    costs = _solve(runs, counts)
    return OperatorFit(
        {name: float(f"{cost:.{_DIGITS}g}") for name, cost in zip(names, costs, strict=True)},
        len(samples),
        round(float(error.mean()), 5),
        round(float(error.max()), 5),
    )


def _solve(runs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls

    scale = np.maximum(runs.max(0, initial=0), 1)
    # Nobody's loop takes less than no instruction.
    costs, _ = nnls(runs / scale / counts[:, None], np.ones(len(counts)), maxiter=100 * len(scale))
    return costs / scale


def typical_slow_units(images: np.ndarray, progress: Report) -> dict[str, float]:
    """Returns which share of units is rescaled by the long way in subnets of the spaces."""
    shares: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(0)
    drawn = [
        (space.sample(rng), bits)
        for space in SHIPPED_SPACES.values()
        for bits, times in _TYPICAL.items()
        for _ in range(times)
    ]
    for number, (subnet, bits) in enumerate(drawn):
        progress("look at constants", number, len(drawn))
        quantization = QuantizationConfig(residual_bits=bits)
        graph = read_graph(random_model(subnet, images, number, quantization))
        blocks: Counter[str] = Counter()
        for loops in graph_loops(graph):
            found = _stream_layer(loops)
            if found is not None:
                layer, share = found
                shares[slow_layer(layer, blocks[layer], bits)].append(share)
                blocks[layer] += 1
    return {name: round(float(np.mean(share)), 4) for name, share in sorted(shares.items())}


def _stream_layer(loops: OperatorLoops | None) -> tuple[str, float] | None:
    # Of an operator that gives the residual stream: its last layer, and the share of slow units.
    match loops:
        case FullyConnectedLoops() if loops.residual_bits:
            return "projection", loops.slow_units / loops.units
        case MlpLoops():
            return "MLP", loops.slow_units / loops.width
        case PatchEmbedLoops() | ConvStemLoops():
            return "stem", loops.slow_units / loops.embed_dim
    return None


def write_costs(costs: dict[str, Any], path: Path = COSTS_FILE) -> None:
    """Writes the file that ``search/cost/instructions.py`` reads."""
    write_whole(path, json.dumps(costs, indent=1) + "\n")
