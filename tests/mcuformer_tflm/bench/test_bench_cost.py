"""What is computed of a network before it exists against the emulator's counts of it."""

import dataclasses
import json

import numpy as np
import pytest

from mcuformer_tflm.bench import cost
from mcuformer_tflm.bench.instruction_fit import (
    COMMAND,
    fit_cycles,
    fit_operators,
    kernels_digest,
)
from mcuformer_tflm.bench.instruction_samples import sample_networks
from mcuformer_tflm.bench.model_counter import BOARDS, Sample, counting_board
from mcuformer_tflm.bench.models import random_model
from mcuformer_tflm.plan.cost import (
    estimate_graph_cost,
    graph_external_bytes,
    operators_instructions,
)
from mcuformer_tflm.plan.operator_loops import graph_loops, input_loops
from mcuformer_tflm.search.cost.flash_reads import external_flash_reads
from mcuformer_tflm.search.cost.instructions import COSTS_FILE, block_loops, outer_loops
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.operator_loops import FullyConnectedLoops, LayerNormLoops
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.tflite.model_graph import read_graph


def test_costs_are_those_of_the_kernels_as_they_are():
    kept = json.loads(COSTS_FILE.read_text(encoding="utf-8"))["kernels"]
    assert kept == kernels_digest(), f"kernels have changed: run `{COMMAND}`"


def test_held_out_operators_were_told_within_some_percent():
    for core, found in json.loads(COSTS_FILE.read_text(encoding="utf-8"))["cores"].items():
        for kind, fit in found["operators"].items():
            # Copies are a hundred instructions; few samples have a convolutional stem.
            few = kind in ("input", "convolutional stem")
            assert fit["held_out_mean"] < (0.15 if few else 0.05), (core, kind)


def test_estimates_are_within_two_percent_of_the_count(tmp_path, monkeypatch):
    space = dataclasses.replace(FASHION_MNIST_SPACE, patch_size=(7,), depth=(2,))
    kept = tmp_path / "counts.json"
    counted = cost.count_space("small", space, 2, lambda *_: None, kept)
    for core in BOARDS:
        assert len(set(counted[core].values())) == 2
        rows = {row.metric: row for row in cost.compare("small", space, counted, core)}
        assert rows["instructions_error_worst"].value < 2
    # What is kept is not counted again.
    monkeypatch.setattr(cost, "random_model", None)
    again = cost.count_space("small", space, 2, lambda *_: None, kept)
    assert again == counted


# Between them both stems, strips, a class token, relative positions, low rank, 4 and 16 bits, every
# schedule, and passes that serve several blocks.
@pytest.fixture(scope="module", params=[5, 17, 29], ids=lambda index: f"network {index}")
def sample(request, fashion_mnist):
    network = sample_networks(request.param + 1)[-1]
    arch = network.architecture
    blocks = {"num_heads": arch.num_heads[:1], "mlp_ratio": arch.mlp_ratio[:1]}
    network = dataclasses.replace(network, architecture=dataclasses.replace(arch, **blocks))
    model = random_model(
        network.architecture, fashion_mnist.train_images[:4], 0, network.quantization,
        **network.options,
    )  # fmt: skip
    return network, read_graph(model)


def _same(loops):
    # Which units are rescaled by the long way is known of a model alone.
    fields = {field.name for field in dataclasses.fields(loops)}
    return dataclasses.replace(loops, slow_units=0) if "slow_units" in fields else loops


def test_a_models_loops_are_those_of_its_architecture(sample):
    network, graph = sample
    if network.options["schedule"] == "paper":
        assert all(loops is not None for loops in graph_loops(graph))
        return
    arch, quantization = network.architecture, network.quantization
    kept = network.options["schedule"] == "kept"
    first, stem, *last = outer_loops(
        arch, image=network.options["image"], quantization=quantization
    )
    blocks = [
        loops
        for block in range(arch.depth)
        for loops in block_loops(
            arch, block, quantization=quantization, kept=kept,
            block_tokens=network.options["block_tokens"] or 4,
        )
    ]  # fmt: skip
    assert list(map(_same, graph_loops(graph))) == list(map(_same, [stem, *blocks, *last]))
    assert input_loops(graph) == first


def test_a_models_cost_is_that_of_its_architecture(model, architecture):
    graph = read_graph(model)
    small = dataclasses.replace(counting_board("cortex-m7"), name="small", flash=50 << 10)
    from_model, before = estimate_graph_cost(graph, small), estimate_cost(architecture, small)
    assert from_model.instructions == pytest.approx(before.instructions, rel=0.02)
    assert graph_external_bytes(graph, small) == external_flash_reads(architecture, small) > 0
    assert from_model.instructions == pytest.approx(
        sum(operators_instructions(graph, "cortex-m7")), rel=0.01
    )


def test_a_fit_finds_the_cycles_of_steps():
    samples, cycles = [], []
    for number, width in enumerate((8, 40, 100, 192, 256, 400)):
        loops = FullyConnectedLoops(5 + number, width, 6, weight_bits=4 if number % 2 else 8)
        samples.append(Sample(number, loops, 10_000 * number + 50 * width))
        runs = loops.loops()
        cycles.append(
            1.25 * samples[-1].instructions
            - 4 * runs.get("int8 step", 0)
            - 9 * runs.get("long step", 0)
        )
    found = fit_cycles(samples, cycles)
    assert found["instruction"] == pytest.approx(1.25, abs=0.01)
    assert found["loops"]["long step"] == pytest.approx(-9, abs=0.1)
    assert found["error_worst"] < 1e-3


def test_a_fit_finds_what_loops_cost():
    rng = np.random.default_rng(0)
    samples = []
    for number in range(40):
        loops = LayerNormLoops(int(rng.integers(1, 50)), int(rng.integers(1, 100)))
        runs = loops.loops()
        made = 7 * runs["call"] + 50 * runs["normalised token"] + 40 * runs.get(
            "normalised group", 0
        ) + 9 * runs.get("normalised value", 0)  # fmt: skip
        samples.append(Sample(number, loops, int(made)))
    [fit] = fit_operators(samples).values()
    assert fit.loops["normalised token"] == pytest.approx(50)
    assert fit.loops["normalised value"] == pytest.approx(9)
    assert fit.held_out_worst < 1e-4
    assert fit.samples == 40
