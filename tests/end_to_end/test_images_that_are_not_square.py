"""Images of any height and width, from the supernet to the firmware."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer_tflm import Architecture, MicroInterpreter, SearchSpace, convert, get_board
from mcuformer_tflm.bench.builtin_model import builtin_model
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.planner import plan_memory
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, head_bytes
from mcuformer_tflm.search.cost.memory import num_parameters
from mcuformer_tflm.search.cost.model_file import model_bytes
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets, SubnetMemory

SPECTROGRAM = Architecture(
    image_size=(49, 10), channels=1, num_classes=3, patch_size=5, rank_ratio=0.5, head_dim=8,
    embed_dim=16, num_heads=(2, 1), mlp_ratio=(2.0, 3.0),
)  # fmt: skip
LABELS = ("one", "two", "three")


def int8(seed, *shape):
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def quantized(architecture):
    """Returns a quantized network of random weights, calibrated on noise."""
    subnet = build_subnet(architecture)
    rng = np.random.default_rng(0)
    for weight in subnet.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    return subnet.quantized_copy([int8(1, 4, *architecture.image_shape) / np.float32(128)])


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(3, 30), st.integers(3, 30), st.integers(1, 3), st.integers(2, 8),
       st.integers(4, 20), st.sampled_from(["whole", "strips"]))  # fmt: skip
def test_tflm_equals_the_twins_in_the_predicted_arena(height, width, channels, patch, dim, image):
    network = dataclasses.replace(
        SPECTROGRAM, image_size=(height, width), channels=channels,
        patch_size=min(patch, height, width), embed_dim=dim,
    )  # fmt: skip
    subnet = quantized(network)
    source = int8(2, 2, height, width, channels)
    interpreter = MicroInterpreter(convert(subnet, LABELS, image=image))
    whole = MicroInterpreter(convert(subnet, LABELS)).graph
    wanted = [run_twin(whole, each[None])[0] for each in source]
    np.testing.assert_array_equal(interpreter.run(source), wanted)
    graph, plan = interpreter.graph, interpreter.plan
    assert interpreter.architecture == network
    assert plan.head_bytes == head_bytes(network, image)
    assert plan_memory(skeleton_graph(network, image)).head_bytes == plan.head_bytes
    assert cortex_m_arena_bytes(graph, plan) == arena_bytes(network, image)


def test_firmware_gives_the_interpreters_bytes(tmp_path):
    model = convert(quantized(SPECTROGRAM), LABELS)
    assert model_bytes(SPECTROGRAM, LABELS) == len(model)
    export_firmware(model, "stm32f427", tmp_path / "project")
    image = build_project(tmp_path / "project", tmp_path / "build", MCUFORMER_EMULATED=True)
    source = int8(3, 4, 49, 10, 1)
    run = run_firmware(image.elf, get_board("stm32f427").core, source, len(LABELS))
    assert run.status == 0, run.log
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(model).run(source))


@pytest.mark.parametrize("pooling", ["mean", "class_token"])
def test_subnet_gives_the_supernets_logits_with_and_without_relative_positions(pooling):
    space = SearchSpace(
        image_size=(12, 30), channels=1, num_classes=3, patch_size=(5,), rank_ratio=(0.5,),
        embed_dim=(8, 16), depth=(1, 2), num_heads=(1, 2), mlp_ratio=(2.0,), head_dim=4,
        relative_position=pooling == "class_token", pooling=pooling,
    )  # fmt: skip
    supernet = Supernet(space.largest())
    rng = np.random.default_rng(0)
    for weight in supernet.trainable_weights:
        weight.assign_add(0.1 * rng.standard_normal(weight.shape))
    chosen, images = space.smallest(), rng.uniform(-1, 1, (3, 12, 30, 1)).astype(np.float32)
    subnet = supernet.extract(chosen)
    wanted = supernet(images, supernet.encode(chosen))
    np.testing.assert_allclose(subnet(images), wanted, atol=1e-5)
    assert (chosen.grid_height, chosen.grid_width, chosen.num_tokens) == (3, 6, 18)
    assert num_parameters(chosen) == sum(w.shape.num_elements() for w in subnet.trainable_weights)


def test_relative_positions_depend_on_rows_and_columns_apart_alone():
    network = dataclasses.replace(
        SPECTROGRAM, image_size=(4, 6), patch_size=2, relative_position=True
    )
    distances = build_subnet(network).get_layer("block_0_attention").distances
    assert distances.shape == (6, 6)
    assert len(set(distances.ravel().tolist())) == 3 * 5 == distances.max() + 1
    # A column to the right: within the first row, and within the second.
    assert distances[0, 1] == distances[1, 2] == distances[3, 4] != distances[0, 3]
    # From the end of a row to the start of the next is another distance.
    assert distances[2, 3] not in (distances[0, 1], distances[1, 0])


def test_first_positions_tell_all_patches_apart():
    position = build_subnet(SPECTROGRAM).get_layer("patch_embed").position.numpy()
    assert position.shape == (20, 16)
    apart = np.linalg.norm(position[:, None] - position, axis=-1) + np.eye(20)
    assert apart.min() > 0.05


def test_memory_of_a_whole_space_is_that_of_its_networks():
    space = SearchSpace(
        image_size=(98, 40), channels=1, num_classes=12, patch_size=(8, 10, 14),
        rank_ratio=(0.5, 0.8), embed_dim=(32, 48), depth=(1, 2), num_heads=(2, 3),
        mlp_ratio=(2.0,), head_dim=16,
    )  # fmt: skip
    encoded = EncodedSubnets.sample(space, 20, np.random.default_rng(0))
    networks = [encoded.decode(space, index) for index in range(20)]
    found = SubnetMemory(space).evaluate(encoded)
    assert found.arena.tolist() == [arena_bytes(network) for network in networks]
    assert found.flash.tolist() == [model_bytes(network) for network in networks]


def test_builtin_network_of_the_same_image_opens_in_tflm():
    interpreter = open_interpreter(builtin_model(SPECTROGRAM), 1 << 22)
    interpreter.set_input(int8(0, 1, 49, 10, 1), 0)
    interpreter.invoke()


def test_square_has_one_form_and_the_json_of_older_models():
    square = dataclasses.replace(SPECTROGRAM, image_size=28)
    assert dataclasses.replace(SPECTROGRAM, image_size=(28, 28)) == square
    assert '"image_size": 28,' in square.to_json()
    for network in (square, SPECTROGRAM):
        assert Architecture.from_json(network.to_json()) == network
        assert hash(Architecture.from_json(network.to_json())) == hash(network)
    assert SPECTROGRAM.image_shape == (49, 10, 1)
    assert dataclasses.replace(SearchSpace(), image_size=[240, 240]) == SearchSpace()


@pytest.mark.parametrize(
    ("image_size", "named"),
    [((28,), "side of a square"), ((28, 28, 1), "side of a square"), ("28", "side of a square"),
     (28.5, "side of a square"), ((28, 0), "at least 1"), ((49, 4), "patch_size is 5")],
)  # fmt: skip
def test_impossible_sizes_are_refused(image_size, named):
    with pytest.raises(ConfigError, match=named):
        dataclasses.replace(SPECTROGRAM, image_size=image_size)
