"""The convolutional stem in floating point."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mcuformer_tflm import load_model
from mcuformer_tflm.custom_ops.reference.conv_stem import PATCH_SIZES, stem_channels
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.patch_embed import PatchEmbed
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.cost.memory import num_macs, num_parameters

SMALL = Architecture(
    image_size=(13, 10), channels=2, num_classes=3, patch_size=4, rank_ratio=0.8, head_dim=4,
    embed_dim=12, num_heads=(1, 2), mlp_ratio=(1.0, 2.0), stem="conv",
)  # fmt: skip


def disturb(model, seed=0):
    # Biases start at zero and gains alike, where a wrong slice would not show.
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign_add(0.1 * rng.standard_normal(weight.shape))


def in_float64(layer, image):
    """The stem by loops over its definition."""
    x = image.astype(np.float64)
    for stage in layer.stages:
        kernel, gain, bias = (
            getattr(layer, f"{name}_{stage}").numpy().astype(np.float64)
            for name in ("kernel", "gain", "bias")
        )
        centred = kernel - kernel.mean((0, 1, 2))
        kernel = gain * centred / np.sqrt((centred**2).sum((0, 1, 2)))
        height, width, _ = x.shape
        y = np.zeros((-(-height // 2), -(-width // 2), len(bias)))
        for row, column in np.ndindex(y.shape[:2]):
            y[row, column] = bias
            for dy, dx in np.ndindex(3, 3):
                i, j = 2 * row + dy - 1, 2 * column + dx - 1
                if 0 <= i < height and 0 <= j < width:
                    y[row, column] += x[i, j] @ kernel[dy, dx]
        x = np.maximum(y, 0)
    tokens = x.reshape(-1, x.shape[-1]) @ layer.kernel.numpy().astype(np.float64)
    return tokens + layer.bias.numpy() + layer.position.numpy()


@pytest.mark.parametrize(
    ("shape", "patch"), [((13, 10, 2), 4), ((16, 8, 1), 8), ((17, 33, 3), 16), ((32, 40, 1), 32)]
)
def test_stem_is_its_definition_computed_in_float64(shape, patch):
    layer = ConvStem(6, patch)
    layer.build([None, *shape])
    disturb(layer)
    image = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    expected = in_float64(layer, image)
    assert expected.shape == (-(-shape[0] // patch) * -(-shape[1] // patch), 6)
    np.testing.assert_allclose(layer(image[None])[0], expected, atol=1e-5)


def test_channels_double_from_stage_to_stage_up_to_the_tokens_width():
    assert stem_channels(192, 16) == (24, 48, 96, 192)
    assert stem_channels(50, 8) == (16, 28, 52)
    assert stem_channels(3, 32) == (4,) * 5
    for patch in PATCH_SIZES:
        widths = np.transpose([stem_channels(width, patch) for width in range(1, 200)])
        assert np.all(widths % 4 == 0)
        assert np.all(np.diff(widths) >= 0), "a narrower network is a slice"


def test_subnets_of_a_supernet_give_its_outputs_exactly():
    supernet = Supernet(SMALL)
    disturb(supernet)
    images = np.random.default_rng(2).uniform(-1, 1, (3, *SMALL.image_shape)).astype(np.float32)
    run = tf.function(lambda x, width: supernet.stem(x, embed_dim=width))
    for width in (12, 8, 5):
        part = dataclasses.replace(SMALL, embed_dim=width)
        subnet = supernet.extract(part)
        assert subnet.count_params() == num_parameters(part)
        inside = run(images, tf.constant(width))
        np.testing.assert_array_equal(inside, subnet.get_layer("conv_stem")(images))
        whole = supernet(images, tf.constant(supernet.encode(part)))
        np.testing.assert_allclose(whole, subnet(images), atol=1e-5)
    assert run.experimental_get_tracing_count() == 1


def test_every_weight_learns():
    subnet = build_subnet(SMALL)
    disturb(subnet)
    images = np.random.default_rng(3).uniform(-1, 1, (4, *SMALL.image_shape)).astype(np.float32)
    weights = subnet.get_layer("conv_stem").trainable_weights
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(subnet(images)[:, 0])
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        assert np.any(gradient), weight.name


def test_kernel_without_variance_gives_numbers():
    layer = ConvStem(4, 4)
    layer.build([None, 8, 8, 1])
    layer.kernel_1.assign(tf.ones_like(layer.kernel_1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones([1, 8, 8, 1])) ** 2)
    assert np.all(np.isfinite(loss))
    assert np.all(np.isfinite(tape.gradient(loss, layer.kernel_1)))


def test_macs_are_those_of_stages_and_projection():
    patch = dataclasses.replace(SMALL, stem="patch")
    rest = num_macs(patch) - 12 * 12 * 4 * 4 * 2
    stages = 7 * 5 * 8 * 9 * 2 + 4 * 3 * 12 * 9 * 8
    assert num_macs(SMALL) == rest + stages + 4 * 3 * 12 * 12


@pytest.mark.parametrize("patch", [2, 3, 5, 7])
def test_stages_that_do_not_halve_to_the_patch_are_refused(patch):
    with pytest.raises(ConfigError, match=rf"^patch_size is {patch}; .* \(4, 8, 16, 32\)"):
        dataclasses.replace(SMALL, patch_size=patch)
    with pytest.raises(ConfigError, match=rf"^patch_size is {patch}; .* \(4, 8, 16, 32\)"):
        ConvStem(8, patch)


def test_image_too_small_for_the_stem_is_refused():
    with pytest.raises(ConfigError, match="patch_size is 16; it must be at most image_size"):
        dataclasses.replace(SMALL, patch_size=16)
    for stem in (ConvStem, PatchEmbed):
        with pytest.raises(ConfigError, match="small has patch_size 16 for images of 32 x 15"):
            stem(8, 16, name="small")(tf_keras.Input((32, 15, 1)))


def test_unknown_stem_is_refused():
    with pytest.raises(ConfigError, match="stem is 'convolutional'"):
        dataclasses.replace(SMALL, stem="convolutional")


def test_supernet_of_another_stem_is_refused():
    patch = dataclasses.replace(SMALL, stem="patch")
    with pytest.raises(ConfigError, match="stem is patch, but this supernet was built with conv"):
        Supernet(SMALL).encode(patch)


def test_description_of_a_patch_stem_is_as_it_was_before_there_was_another():
    patch = dataclasses.replace(SMALL, stem="patch")
    assert "stem" not in patch.to_json()
    assert Architecture.from_json(patch.to_json()) == patch
    assert Architecture.from_json(SMALL.to_json()) == SMALL


def test_quantized_layer_has_the_kernels_that_come_out_of_standardisation():
    layer, quantized = ConvStem(12, 4), ConvStem(12, 4, quantization=QuantizationConfig())
    copy = ConvStem(12, 4, standardised=False)
    for each in (layer, quantized, copy):
        each.build([None, *SMALL.image_shape])
        each.built = True
    disturb(layer)
    quantized.copy_weights(layer)
    copy.copy_weights(quantized)
    assert not hasattr(quantized, "gain_1")
    images = np.random.default_rng(4).uniform(-1, 1, (3, *SMALL.image_shape)).astype(np.float32)
    np.testing.assert_allclose(copy(images), layer(images), atol=1e-6)


def test_layer_survives_its_configuration():
    for layer in (ConvStem(12, 4), ConvStem(12, 4, standardised=False)):
        again = ConvStem.from_config(layer.get_config())
        for each in (layer, again):
            each.build([None, *SMALL.image_shape])
        shapes = [[weight.shape for weight in each.weights] for each in (layer, again)]
        assert shapes[0] == shapes[1]
    assert len(ConvStem(12, 4).stages) == 2


def test_float_copy_of_a_quantized_network_keeps_its_plain_kernels_in_copies_and_files(tmp_path):
    subnet = build_subnet(dataclasses.replace(SMALL, num_heads=(1,), mlp_ratio=(1.0,)))
    disturb(subnet)
    images = np.random.default_rng(5).uniform(-1, 1, (3, *SMALL.image_shape)).astype(np.float32)
    copy = subnet.quantized_copy([images]).float_copy()
    np.testing.assert_allclose(copy(images), subnet(images), atol=1e-5)
    assert (copy.folded, subnet.folded) == (True, False)
    cloned = tf_keras.models.clone_model(copy)
    cloned.set_weights(copy.get_weights())
    copy.save(tmp_path / "copy.keras")
    for again in (cloned, load_model(tmp_path / "copy.keras"), copy.float_copy()):
        np.testing.assert_array_equal(again(images), copy(images))
