"""A residual stream of 16 bits and weights of 4: the twin, TFLM and firmware agree on each byte."""

import numpy as np
import pytest

from mcuformer_tflm import MicroInterpreter, convert, plan_memory
from mcuformer_tflm import data as datasets
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.liveness import find_buffers
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, head_bytes
from mcuformer_tflm.search.cost.memory import weight_bytes
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.search.cost.schedule import choose_kept, kept_arena_bytes
from mcuformer_tflm.tflite.model_graph import read_graph

OPTIONS = {
    "int16_stream": QuantizationConfig(residual_bits=16),
    "int4_weights": QuantizationConfig(weight_bits=4),
    "both": QuantizationConfig(weight_bits=4, residual_bits=16, layer_norm_iterations=3),
}
LABELS = tuple("abcdefghij")


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS.keys())
def config(request):
    return request.param


@pytest.fixture(scope="module")
def network(subnet, config, fashion_mnist):
    return subnet.quantized_copy([datasets.normalise(fashion_mnist.train_images[:128])], config)


@pytest.fixture(scope="module")
def pictures(fashion_mnist):
    return datasets.quantize_images(fashion_mnist.test_images[:10])


def test_twin_and_tflm_give_the_same_bytes_whatever_the_schedule(network, pictures, fashion_mnist):
    graph = read_graph(convert(network, fashion_mnist.labels))
    wanted = np.concatenate([run_twin(graph, picture[None]) for picture in pictures])
    assert len(np.unique(wanted)) > 10, "an answer that depends on the picture"
    for schedule, image in (("streamed", "whole"), ("kept", "strips"), ("paper", "whole")):
        model = convert(network, fashion_mnist.labels, schedule=schedule, image=image)
        np.testing.assert_array_equal(MicroInterpreter(model).run(pictures), wanted)


def test_exported_tensors_have_the_chosen_widths(network, config, fashion_mnist):
    graph = read_graph(convert(network, fashion_mnist.labels))
    dtypes = {t.name: t.dtype for t in graph.tensors if not t.constant}
    stream = {"patch_embed", *(f"block_{b}_{n}" for b in (0, 1) for n in ("projection", "fc2_v"))}
    assert {name for name, dtype in dtypes.items() if dtype == "int16"} == (
        stream if config.residual_bits == 16 else set()
    )
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name
        if "weight_bits" in operator.options:
            bits = 8 if name == "head" else config.weight_bits
            assert operator.options["weight_bits"] == bits, name
        if "iterations" in operator.options:
            assert operator.options["iterations"] == config.layer_norm_iterations, name


@pytest.mark.parametrize("image", ["whole", "strips"])
def test_arena_and_flash_are_known_from_architecture_and_options(
    network, config, image, architecture, fashion_mnist
):
    model = convert(network, fashion_mnist.labels, image=image)
    graph, plan = read_graph(model), plan_memory(model)
    assert (
        plan.head_bytes == plan.lower_bound == head_bytes(architecture, image, quantization=config)
    )
    assert cortex_m_arena_bytes(graph, plan) == arena_bytes(
        architecture, image, quantization=config
    )
    assert sum(len(t.data) for t in graph.tensors) == weight_bytes(architecture, config)
    predicted = model_bytes(architecture, fashion_mnist.labels, quantization=config)
    assert predicted == len(model)
    skeleton = find_buffers(skeleton_graph(architecture, image, quantization=config))
    assert [(b.name, b.size, b.walk) for b in skeleton] == [
        (b.name, b.size, b.walk) for b in find_buffers(graph)
    ]


def test_kept_tokens_are_budgeted_with_the_streams_width(
    network, config, architecture, fashion_mnist
):
    budget = kept_arena_bytes(architecture, [0], quantization=config)
    assert choose_kept(architecture, budget - 16, quantization=config) == ()
    kept = choose_kept(architecture, budget, quantization=config)
    assert kept
    model = convert(network, fashion_mnist.labels, arena_budget=budget)
    arena = cortex_m_arena_bytes(read_graph(model), plan_memory(model))
    assert arena == kept_arena_bytes(architecture, kept, quantization=config) <= budget


def test_firmware_gives_the_interpreters_bytes(network, config, pictures, fashion_mnist, tmp_path):
    # Each option in fused operators and strips, and both options in operators of single layers.
    schedule, image, board = ("streamed", "strips", "stm32f427")
    if config == OPTIONS["both"]:
        schedule, image, board = ("paper", "whole", "stm32f746")
    model = convert(network, fashion_mnist.labels, schedule=schedule, image=image)
    export_firmware(model, board, tmp_path / "project")
    built = build_project(tmp_path / "project", tmp_path / "build", MCUFORMER_EMULATED=True)
    run = run_firmware(built.elf, get_board(board).core, pictures, 10)
    assert run.status == 0, run.log
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(model).run(pictures))


@pytest.mark.usefixtures("op_by_op")
def test_ranks_that_are_no_multiple_of_a_step_give_the_networks_logits_in_every_schedule():
    # Of the paper's space: 192 wide, of rank 86.
    odd = Architecture(32, 3, 10, 8, 0.45, 64, 192, (3,), (3.5,))
    subnet = build_subnet(odd)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    pictures = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    network = subnet.quantized_copy([datasets.normalise(pictures)], OPTIONS["int4_weights"])
    logits = predict(network, datasets.normalise(pictures))
    for schedule in ("auto", "kept", "paper"):
        model = MicroInterpreter(convert(network, LABELS, schedule=schedule))
        output = model.graph.tensors[model.graph.outputs[0]]
        steps = logits.astype(float) / output.scale + output.zero_point
        found = model.run(datasets.quantize_images(pictures))
        assert len(np.unique(found)) > 10, "an answer that depends on the picture"
        np.testing.assert_allclose(steps, found, atol=1e-3, err_msg=schedule)


@pytest.mark.usefixtures("op_by_op")
def test_fake_quantized_network_gives_the_bytes_of_the_int8_model(network, pictures, fashion_mnist):
    model = MicroInterpreter(convert(network, fashion_mnist.labels))
    output = model.graph.tensors[model.graph.outputs[0]]
    logits = predict(network, datasets.normalise(fashion_mnist.test_images[: len(pictures)]))
    steps = logits.astype(float) / output.scale + output.zero_point
    np.testing.assert_allclose(steps, model.run(pictures), atol=1e-3)
