"""Memory: the paper's networks in bytes, the planner's gap and time, the model's speed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from mcuformer_tflm.bench.builtin_model import builtin_model
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.emulator.toolchain import CORE_FLAGS, operator_code_bytes
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import PlanError
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.planner import plan_memory
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime.arena_interpreter import ArenaInterpreter, allocate
from mcuformer_tflm.runtime.input_source import input_source
from mcuformer_tflm.runtime.probe import measure
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.cost.activation_memory import Image, arena_bytes
from mcuformer_tflm.search.cost.memory import eq5_bytes, weight_bytes
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets, SubnetMemory
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.tflite.model_graph import read_graph

_SUITE = "memory"
_IMAGES: tuple[Image, ...] = ("whole", "strips")
_RANDOM_SUBNETS = 200
_SCORED_SUBNETS = 1_000_000
_HOST_ARENA = 1 << 24


def paper_architectures() -> dict[str, Architecture]:
    """Returns the paper's networks for its boards, and the largest subnet of its space."""

    def paper(patch_size: int) -> Architecture:
        return Architecture(
            240, 3, 1000, patch_size, 0.95, 64, 192, num_heads=(3,) * 14, mlp_ratio=(4.0,) * 14
        )

    return {
        "paper/f746": paper(16),
        "paper/f427": paper(24),
        "paper/largest": SearchSpace().largest(),
    }


def run(progress: Report) -> list[Row]:
    """Measures everything; takes about a minute."""
    rows = [*_model_rows(), *_code_rows(progress), *_random_rows(progress)]
    networks = paper_architectures()
    for done, (case, architecture) in enumerate(networks.items()):
        progress("measure the paper's networks", done, len(networks))
        rows += _network_rows(case, architecture)
    progress("measure the paper's networks", len(networks), len(networks))
    return rows


def _network_rows(case: str, architecture: Architecture) -> Iterator[Row]:
    eq5 = eq5_bytes(architecture, class_token=True)
    yield Row(_SUITE, case, "eq5_bytes", eq5, "bytes", note="the paper's accounting, no arena")
    network = random_quantized(architecture)
    image = _random_image(architecture)
    labels = [str(number) for number in range(architecture.num_classes)]
    answers: list[np.ndarray] = []
    for mode in _IMAGES:
        model = convert(network, labels, image=mode)
        graph = read_graph(model)
        start = time.perf_counter()
        plan = plan_memory(graph)
        seconds = time.perf_counter() - start
        arena = cortex_m_arena_bytes(graph, plan)
        if arena != arena_bytes(architecture, mode):
            raise PlanError(f"{case}: the model needs {arena} bytes, which was not predicted.")
        note = "Cortex-M, TFLM's own data included; computed, and exact on this machine"
        yield Row(_SUITE, case, f"arena_bytes_{mode}", arena, "bytes", note=note)
        suffix = "" if mode == "whole" else "_strips"
        yield Row(_SUITE, case, f"lower_bound_bytes{suffix}", plan.lower_bound, "bytes",
                  note=f"of the head, image {mode}")  # fmt: skip
        yield Row(_SUITE, case, f"head_bytes{suffix}", plan.head_bytes, "bytes")
        if case == "paper/f746" and mode == "whole":
            yield Row(_SUITE, "plan/paper", "seconds", round(seconds, 4), "s")
            yield Row(_SUITE, "plan/paper", "gap_percent_max", plan.gap_percent, "%")
        answers += _answers(model, image, mode)
    predicted = model_bytes(architecture, labels)
    yield Row(_SUITE, case, "weight_bytes", weight_bytes(architecture), "bytes",
              note="packed weights, unit constants, norms, positions, tables")  # fmt: skip
    yield Row(_SUITE, case, "model_bytes", predicted, "bytes",
              note="the .tflite, predicted from the architecture and the labels")  # fmt: skip
    yield Row(_SUITE, case, "model_bytes_above_file", predicted - len(model), "bytes",
              note="prediction less the converted file")  # fmt: skip
    if any((answer != answers[0]).any() for answer in answers):
        raise PlanError(f"{case}: planners or ways to give the image differ in their answers.")
    yield Row(_SUITE, case, "runs_that_agree", len(answers), "runs",
              note="whole and strips, our planner and TFLM's: the same logits")  # fmt: skip
    builtin = measure(open_interpreter(builtin_model(architecture), _HOST_ARENA), "tflm")
    yield Row(_SUITE, case, "greedy_builtin_arena_bytes", builtin["head"] + builtin["tail"],
              "bytes", note="builtin operators, TFLM's planner, this machine (64-bit)")  # fmt: skip
    yield Row(_SUITE, case, "greedy_builtin_head_bytes", builtin["head"], "bytes",
              note="of it activations and scratch, the same on a Cortex-M")  # fmt: skip


def random_quantized(architecture: Architecture) -> Subnet:
    """Returns a quantized network of random weights, calibrated on one random image."""
    network = build_subnet(architecture)
    rng = np.random.default_rng(0)
    # Fresh weights have equal constants, which would share a tensor; trained ones have not.
    for weight in network.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    return network.quantized_copy([_random_image(architecture)[None] / np.float32(128)])


def _random_image(architecture: Architecture) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(-128, 128, architecture.image_shape, dtype=np.int8)


def _answers(model: bytes, image: np.ndarray, mode: Image) -> Iterator[np.ndarray]:
    (arena,) = allocate(_HOST_ARENA)
    for interpreter in (ArenaInterpreter(model, arena), open_interpreter(model, _HOST_ARENA)):
        with input_source(lambda row, rows: image[row : row + rows], image[0].size):
            if mode == "whole":
                interpreter.set_input(image[None], 0)
            interpreter.invoke()
        yield interpreter.get_output(0)


def _random_rows(progress: Report) -> Iterator[Row]:
    space, rng = SearchSpace(), np.random.default_rng(0)
    gaps, slowest = [], 0.0
    for done in range(_RANDOM_SUBNETS):
        graph = skeleton_graph(space.sample(rng), _IMAGES[done % 2])
        start = time.perf_counter()
        gaps.append(plan_memory(graph).gap_percent)
        slowest = max(slowest, time.perf_counter() - start)
        progress("plan random subnets", done + 1, _RANDOM_SUBNETS)
    case = "plan/random200"
    yield Row(_SUITE, case, "gap_percent_max", max(gaps), "%", note="above the lower bound")
    yield Row(_SUITE, case, "seconds", round(slowest, 4), "s", note="the slowest of them")


def _code_rows(progress: Report) -> Iterator[Row]:
    for done, core in enumerate(CORE_FLAGS):
        progress("compile for the cores", done, len(CORE_FLAGS))
        yield Row(_SUITE, "operators", "code_bytes", operator_code_bytes(core), "bytes", core,
                  note="all operators and the memory planner, without TFLM")  # fmt: skip
    progress("compile for the cores", len(CORE_FLAGS), len(CORE_FLAGS))


def _model_rows() -> Iterator[Row]:
    space = SearchSpace()
    memory = SubnetMemory(space)
    subnets = EncodedSubnets.sample(space, _SCORED_SUBNETS, np.random.default_rng(0))
    memory.evaluate(subnets)
    start = time.process_time()
    memory.evaluate(subnets)
    rate = round(_SCORED_SUBNETS / (time.process_time() - start))
    yield Row(_SUITE, "model", "subnets_per_second", rate, "1/s",
              note="Eq. 5, arena and flash of each; one core")  # fmt: skip
