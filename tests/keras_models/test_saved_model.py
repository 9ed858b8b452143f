"""Networks that are saved, loaded, cloned, copied and pickled are the same networks."""

import copy
import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tf_keras
from public_names import public_values

from mcuformer_tflm import QuantizationConfig, build_subnet, convert, load_model, quantize
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.quantization.quantizers import PassingLayer, QuantizableLayer
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.supernet import Supernet

ARCHITECTURE = Architecture(
    image_size=8, channels=1, num_classes=3, patch_size=4, rank_ratio=0.5, head_dim=4, embed_dim=8,
    num_heads=(2,), mlp_ratio=(2.0,), relative_position=True,
)  # fmt: skip
LABELS = ("a", "b", "c")
CONFIG = QuantizationConfig(4, 16)


def drawn(model):
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (32, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def subnet():
    return drawn(build_subnet(ARCHITECTURE))


@pytest.fixture(scope="module")
def quantized(subnet, images):
    quantized = quantize(subnet, images, epochs=0, config=CONFIG)
    quantized.freeze_ranges()
    return quantized


def _saved(suffix, load=load_model, **options):
    def route(model, folder):
        model.save(folder / f"network{suffix}", **options)
        return load(folder / f"network{suffix}")

    return route


def _with_its_weights(make):
    def route(model, folder):
        made = make(model)
        made.set_weights(model.get_weights())
        return made

    return route


ROUTES = {
    "keras": _saved(".keras"),
    "keras_str": _saved(".keras", load=lambda path: load_model(str(path))),
    "keras_by_keras": _saved(".keras", load=tf_keras.models.load_model),
    "h5": _saved(".h5"),
    "h5_by_keras": _saved(".h5", load=tf_keras.models.load_model),
    "clone_model": _with_its_weights(tf_keras.models.clone_model),
    "json": _with_its_weights(lambda model: tf_keras.models.model_from_json(model.to_json())),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
}


def _same(one, other):
    assert type(other) is type(one)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("route", ROUTES)
def test_a_quantized_network_converts_to_the_same_bytes(route, quantized, tmp_path):
    found = ROUTES[route](quantized, tmp_path)
    assert (found.architecture, found.quantization) == (ARCHITECTURE, CONFIG)
    _same(quantized, found)
    assert convert(found, LABELS) == convert(quantized, LABELS)
    # Ranges are frozen still.
    norm = next(layer for layer in found.operators() if layer.name == "norm")
    before = norm.quantization_range("output")
    found(np.ones((1, 8, 8, 1), np.float32), training=True)
    assert norm.quantization_range("output") == before


def test_a_saved_model_converts_to_the_same_bytes(subnet, images, tmp_path):
    # Without the integers' graph, which takes Keras long to trace.
    config = dataclasses.replace(CONFIG, integer_operators=False)
    quantized = quantize(subnet, images, epochs=0, config=config)
    found = _saved("", save_format="tf")(quantized, tmp_path)
    assert (found.architecture, found.quantization) == (ARCHITECTURE, config)
    _same(quantized, found)
    assert convert(found, LABELS) == convert(quantized, LABELS)


@pytest.mark.parametrize("route", ["keras", "h5", "clone_model", "deepcopy", "pickle"])
def test_a_float_network_is_quantized_to_the_same_bytes(route, subnet, quantized, images, tmp_path):
    found = ROUTES[route](subnet, tmp_path)
    assert found.quantization is None
    _same(subnet, found)
    again = quantize(found, images, epochs=0, config=CONFIG)
    assert convert(again, LABELS) == convert(quantized, LABELS)


@pytest.mark.parametrize("route", ["keras", "clone_model", "deepcopy", "pickle"])
def test_a_supernet_gives_the_same_subnets(route, images, tmp_path):
    supernet = drawn(Supernet(ARCHITECTURE))
    found = ROUTES[route](supernet, tmp_path)
    assert found.largest == ARCHITECTURE
    _same(supernet, found)
    _same(supernet.extract(ARCHITECTURE), found.extract(ARCHITECTURE))


def test_frozen_layers_stay_frozen_and_are_quantized_with_their_weights(
    subnet, quantized, images, tmp_path
):
    frozen = copy.deepcopy(subnet)
    frozen.get_layer("patch_embed").trainable = False
    found = ROUTES["keras"](frozen, tmp_path)
    assert [layer.name for layer in found.layers if not layer.trainable] == ["patch_embed"]
    _same(frozen, found)
    frozen.trainable = False
    again = quantize(frozen, images, epochs=0, config=CONFIG)
    assert convert(again, LABELS) == convert(quantized, LABELS)


def test_a_trained_and_compiled_network_goes_on_training(images, tmp_path):
    subnet = build_subnet(ARCHITECTURE)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    subnet.compile("adam", loss, run_eagerly=True)
    subnet.fit(images, np.zeros(32), verbose=0)
    found = ROUTES["keras"](subnet, tmp_path)
    for network in (subnet, found):
        network.fit(images, np.zeros(32), verbose=0, shuffle=False)
    for ours, theirs in zip(subnet.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_our_layers_are_loaded_beside_those_of_keras_that_have_their_names(
    subnet, images, suffix, tmp_path
):
    inner = subnet.get_layer("block_0_attention").output
    both = tf_keras.Model(subnet.input, tf_keras.layers.Attention()([inner, inner]))
    both.save(tmp_path / f"both{suffix}")
    found = tf_keras.models.load_model(tmp_path / f"both{suffix}")
    kinds = [type(layer) for layer in found.layers]
    assert Attention in kinds
    assert tf_keras.layers.Attention in kinds
    np.testing.assert_array_equal(found(images), both(images))


def test_every_layer_and_model_is_registered_under_the_packages_name():
    ours = [
        value
        for value in public_values("keras_models").values()
        if isinstance(value, type)
        and issubclass(value, tf_keras.layers.Layer)
        and value not in (PassingLayer, QuantizableLayer)  # which are abstract
    ]
    names = {tf_keras.utils.get_registered_name(value) for value in ours}
    assert names == {f"mcuformer>{value.__name__}" for value in ours}


def test_a_fresh_process_loads_what_another_has_saved(quantized, tmp_path):
    quantized.save(tmp_path / "network.keras")
    quantized.save(tmp_path / "network.h5")
    code = (
        "import sys, pathlib, tf_keras, mcuformer_tflm\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        # The file names the module of its class, so Keras imports it.
        "networks = [tf_keras.models.load_model(folder / 'network.keras'),\n"
        "            mcuformer_tflm.load_model(folder / 'network.h5')]\n"
        "for name, network in zip('ab', networks):\n"
        "    (folder / name).write_bytes(mcuformer_tflm.convert(network, ('a', 'b', 'c')))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    model = convert(quantized, LABELS)
    assert [(tmp_path / name).read_bytes() == model for name in "ab"] == [True, True]


def test_what_is_no_network_of_ours_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.keras cannot be loaded.*: No file"):
        load_model(tmp_path / "none.keras")
    build_subnet(ARCHITECTURE).save(tmp_path / "network.keras")
    whole = (tmp_path / "network.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.keras cannot be loaded as a network"):
        load_model(tmp_path / "cut.keras")
    tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))]).save(tmp_path / "other.keras")
    with pytest.raises(CheckpointError, match=r"other\.keras holds a Sequential"):
        load_model(tmp_path / "other.keras")


def test_a_clone_of_layers_alone_is_quantized_as_a_network_of_its_own(subnet, quantized, images):
    clone = tf_keras.models.clone_model(
        subnet, clone_function=lambda layer: type(layer).from_config(layer.get_config())
    )
    clone.set_weights(subnet.get_weights())
    again = quantize(clone, images, epochs=0, config=CONFIG)
    assert not isinstance(again, Subnet)
    np.testing.assert_array_equal(again(images), quantized(images))
