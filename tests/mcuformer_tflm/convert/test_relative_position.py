"""Relative positions, quantized: layer, twin, TFLM and firmware agree, and sizes are foreseen."""

import dataclasses

import numpy as np
import pytest
import tf_keras

from mcuformer_tflm import MicroInterpreter, convert
from mcuformer_tflm import data as datasets
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.liveness import find_buffers
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.schedule import kept_arena_bytes
from mcuformer_tflm.tflite.model_graph import read_graph


@pytest.fixture(scope="module")
def relative(architecture):
    return dataclasses.replace(architecture, relative_position=True)


@pytest.fixture(scope="module")
def network(relative, fashion_mnist):
    tf_keras.utils.set_random_seed(1)
    subnet = build_subnet(relative)
    initialise_attention(subnet)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    return subnet.quantized_copy([datasets.normalise(fashion_mnist.train_images[:128])])


@pytest.fixture(scope="module")
def pictures(fashion_mnist):
    return datasets.quantize_images(fashion_mnist.test_images[:16])


def test_twin_and_tflm_give_the_same_bytes_whatever_the_schedule(network, pictures, fashion_mnist):
    graph = read_graph(convert(network, fashion_mnist.labels))
    wanted = np.concatenate([run_twin(graph, picture[None]) for picture in pictures])
    assert len(np.unique(wanted)) > 10, "an answer that depends on the picture"
    for schedule in ("streamed", "kept", "paper"):
        model = convert(network, fashion_mnist.labels, schedule=schedule)
        np.testing.assert_array_equal(MicroInterpreter(model).run(pictures), wanted)


def test_layer_and_int8_run_give_the_same_logits(network, fashion_mnist):
    images = fashion_mnist.test_images[:64]
    interpreter = MicroInterpreter(convert(network, fashion_mnist.labels))
    int8 = interpreter.run(datasets.quantize_images(images)).astype(int)
    output = interpreter.graph.tensors[interpreter.graph.outputs[0]]
    simulated = network(datasets.normalise(images), training=False).numpy()
    steps = np.rint(simulated / output.scale).astype(int) + output.zero_point
    np.testing.assert_array_equal(steps, int8)


def test_a_bias_that_is_turned_about_would_show(network, pictures, fashion_mnist):
    model = convert(network, fashion_mnist.labels)
    biases = [layer for layer in network.operators() if hasattr(layer, "relative_bias")]
    kept = [layer.relative_bias.numpy() for layer in biases]
    for layer, bias in zip(biases, kept, strict=True):
        layer.relative_bias.assign(bias[:, ::-1])
    turned = convert(network, fashion_mnist.labels)
    for layer, bias in zip(biases, kept, strict=True):
        layer.relative_bias.assign(bias)
    first, second = (MicroInterpreter(content).run(pictures) for content in (model, turned))
    assert np.any(first != second)


def test_firmware_on_the_emulated_core_gives_tflms_bytes(
    network, pictures, fashion_mnist, tmp_path
):
    model = convert(network, fashion_mnist.labels)
    wanted = MicroInterpreter(model).run(pictures)
    export_firmware(model, "stm32f427", tmp_path / "project")
    image = build_project(tmp_path / "project", tmp_path / "build", MCUFORMER_EMULATED=True)
    run = run_firmware(image.elf, "cortex-m4", pictures, wanted.shape[1])
    assert run.status == 0, run.log
    np.testing.assert_array_equal(run.outputs, wanted)


def test_buffers_and_arena_are_known_from_the_architecture_alone(network, relative, fashion_mnist):
    graph = read_graph(convert(network, fashion_mnist.labels))
    skeleton = skeleton_graph(relative)
    sizes = [[buffer.size for buffer in find_buffers(g)] for g in (graph, skeleton)]
    assert sizes[0] == sizes[1]
    plan = MicroInterpreter(convert(network, fashion_mnist.labels)).plan
    assert cortex_m_arena_bytes(graph, plan) == arena_bytes(relative)
    kept = convert(network, fashion_mnist.labels, schedule="kept")
    interpreter = MicroInterpreter(kept)
    wanted = kept_arena_bytes(relative, range(relative.depth))
    assert cortex_m_arena_bytes(interpreter.graph, interpreter.plan) == wanted


def test_grids_that_are_not_square_are_refused_by_name(relative):
    wide = dataclasses.replace(relative, image_size=(28, 14))
    with pytest.raises(ConfigError, match="relative_position is True on 4 rows of 2"):
        wide.check_exportable()
