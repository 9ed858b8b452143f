"""Each quantized layer gives the integers of its operator's numpy twin, whatever the ranges."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_constants import layer_constants, quantization_of, residual_options

from mcuformer_tflm.custom_ops.reference.add import add, add_options
from mcuformer_tflm.custom_ops.reference.attention import attention, exp_table
from mcuformer_tflm.custom_ops.reference.conv_stem import conv_stem
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected
from mcuformer_tflm.custom_ops.reference.gelu import gelu, gelu_table
from mcuformer_tflm.custom_ops.reference.layer_norm import fold_layer_norm, layer_norm
from mcuformer_tflm.custom_ops.reference.mean_pool import mean_pool
from mcuformer_tflm.custom_ops.reference.patch_embed import patch_embed
from mcuformer_tflm.custom_ops.reference.token_pool import token_pool
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.add import Add
from mcuformer_tflm.keras_models.layers.attention import LOGIT_STEP, Attention
from mcuformer_tflm.keras_models.layers.class_token import ClassToken
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import EPSILON, LayerNorm
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
from mcuformer_tflm.keras_models.layers.patch_embed import IMAGE_SCALE, PatchEmbed
from mcuformer_tflm.keras_models.layers.token_pool import TokenPool
from mcuformer_tflm.keras_models.quantization.calibration import calibrate
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.quantization.scales import Quantization

CONFIG = QuantizationConfig()
# Every example compiles a loop of its shape.
few = settings(max_examples=6)
seeds = st.integers(0, 2**32 - 1)
bits = st.sampled_from([8, 16])


class Maker:
    """Stands for the layer before: its output's quantization, of one tensor or of parts."""

    def __init__(self, *parts):
        self.parts = parts

    def output_quantizations(self):
        return list(self.parts)


def drawn_quantization(rng, num_bits=8, symmetric=False):
    limit = 2 ** (num_bits - 1)
    zero_point = 0 if symmetric else int(rng.integers(-limit, limit))
    return Quantization(
        float(np.exp(rng.uniform(-5, -2))) * 128 / limit, zero_point, num_bits=num_bits
    )


def drawn(rng, quantization, *shape):
    """Integers of a tensor, and the real values that travel between layers."""
    limit = 2 ** (quantization.num_bits - 1)
    x = rng.integers(-limit, limit, shape)
    dtype = np.int8 if quantization.num_bits == 8 else np.int16
    real = np.float32(x - quantization.zero_point) * np.float32(quantization.scale)
    return x.astype(dtype), tf.constant(real)


def build(rng, layer, *inputs):
    """Builds a layer on its inputs and draws weights and ranges."""
    layer.build([x.shape for x in inputs] if len(inputs) > 1 else inputs[0].shape)
    layer.built = True
    for weight in layer.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape) * rng.uniform(0.05, 0.5))
    layer.update_weight_ranges()
    for name in ("position", *layer.output_names):
        if name in layer._ranges:
            high = rng.uniform(0.3, 4)
            low = -high if layer.quantizer(name).symmetric else -rng.uniform(0, 4)
            layer._ranges[name]["min_var"].assign(low)
            layer._ranges[name]["max_var"].assign(high)


def integers(layer, output):
    """What a layer gave, as integers."""
    parts = [quantization_of(layer, name) for name in layer.output_names]
    scales = np.repeat([part.scale for part in parts], output.shape[-1] // len(parts))
    steps = output.numpy() / scales
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.02)
    return np.rint(steps) + parts[0].zero_point


@few
@given(seed=seeds, width=st.integers(1, 40), units=st.integers(1, 9), parts=st.sampled_from([1, 3]))
def test_fully_connected(seed, width, units, parts):
    rng = np.random.default_rng(seed)
    source = drawn_quantization(rng)
    x, real = drawn(rng, source, 2, 5, width)
    layer = FullyConnected(units * parts, parts, quantization=CONFIG)
    build(rng, layer, real)
    layer.follow(Maker(source))
    outputs = [quantization_of(layer, name) for name in layer.output_names]
    weights, constants = layer_constants(layer, source, outputs)
    wanted = fully_connected(
        x.reshape(10, width), weights.T, constants, outputs[0].zero_point
    ).reshape(2, 5, -1)
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


@few
@given(seed=seeds, width=st.integers(1, 40), units=st.integers(1, 9), num_bits=bits)
def test_fully_connected_with_a_residual(seed, width, units, num_bits):
    rng = np.random.default_rng(seed)
    source, other = drawn_quantization(rng), drawn_quantization(rng, num_bits, num_bits == 16)
    x, real = drawn(rng, source, 2, 5, width)
    residual, real_residual = drawn(rng, other, 2, 5, units)
    config = QuantizationConfig(residual_bits=num_bits)
    layer = FullyConnected(units, quantization=config)
    build(rng, layer, real, real_residual)
    layer.follow(Maker(source), Maker(other))
    output = quantization_of(layer, "output")
    weights, constants = layer_constants(layer, source, [output], residual=True)
    wanted = fully_connected(
        x.reshape(10, width), weights.T, constants, output.zero_point,
        residual=residual.reshape(10, units), **residual_options(other, output),
    ).reshape(2, 5, units)  # fmt: skip
    np.testing.assert_array_equal(integers(layer, layer([real, real_residual])), wanted)


def test_wide_fully_connected_is_exact_where_float32_is_not():
    rng = np.random.default_rng(0)
    source = Quantization(0.01, -128)
    x, real = np.full((1, 1100), 127, np.int8), tf.fill([1, 1100], np.float32(2.55))
    layer = FullyConnected(3, quantization=CONFIG)
    build(rng, layer, real)
    layer.kernel.assign(rng.uniform(0.99, 1, layer.kernel.shape))
    layer.update_weight_ranges()
    layer._ranges["output"]["max_var"].assign(2900.0)
    layer.follow(Maker(source))
    output = quantization_of(layer, "output")
    weights, constants = layer_constants(layer, source, [output])
    wanted = fully_connected(x, weights.T, constants, output.zero_point)
    assert np.abs(x.astype(int) + 128).max() * 1100 * 126 > 2**24
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


@few
@given(
    seed=seeds, width=st.integers(1, 70), num_bits=bits,
    iterations=st.sampled_from([0, 2, 4]), spread=st.sampled_from([0, 1, 300]),
)  # fmt: skip
def test_layer_norm(seed, width, num_bits, iterations, spread):
    rng = np.random.default_rng(seed)
    source = drawn_quantization(rng, num_bits, num_bits == 16)
    # Constant tokens, tokens of nearly one value, and any.
    x = rng.integers(-100, 100, (2, 5, 1)) + rng.integers(-spread, spread + 1, (2, 5, width))
    x = np.clip(x, -128, 127).astype(np.int8 if num_bits == 8 else np.int16)
    real = tf.constant(np.float32(x.astype(int) - source.zero_point) * np.float32(source.scale))
    config = QuantizationConfig(residual_bits=num_bits, layer_norm_iterations=iterations)
    layer = LayerNorm(quantization=config)
    build(rng, layer, real)
    layer.follow(Maker(source))
    output = quantization_of(layer, "output")
    folded = fold_layer_norm(
        layer.gamma.numpy(), layer.beta.numpy(), output.scale, output.zero_point
    )
    epsilon = round(EPSILON * (width / source.scale) ** 2)
    wanted = layer_norm(x.reshape(10, width), *folded, epsilon, iterations).reshape(x.shape)
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


@few
@given(seed=seeds, tokens=st.integers(1, 20), heads=st.integers(1, 3))
def test_attention(seed, tokens, heads):
    rng = np.random.default_rng(seed)
    parts = [drawn_quantization(rng, symmetric=True) for _ in range(3)]
    x = rng.integers(-127, 128, (2, tokens, 3, 4 * heads)).astype(np.int8)
    scales = np.float32([part.scale for part in parts])[:, None]
    real = tf.constant(np.reshape(x * scales, [2, tokens, -1]))
    layer = Attention(4, quantization=CONFIG)
    build(rng, layer, real)
    layer.follow(Maker(*parts))
    output = quantization_of(layer, "output")
    query, key, value = (part.scale for part in parts)
    wanted = [
        attention(
            image.reshape(tokens, -1), exp_table(LOGIT_STEP), heads, 4, output.zero_point,
            *quantize_multiplier(query * key * 4**-0.5 / LOGIT_STEP),
            *quantize_multiplier(value / 2**15 / output.scale),
        )
        for image in x
    ]  # fmt: skip
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


@few
@given(seed=seeds, tokens=st.integers(1, 20), width=st.integers(1, 20))
def test_gelu_and_mean_pool(seed, tokens, width):
    rng = np.random.default_rng(seed)
    source = drawn_quantization(rng)
    x, real = drawn(rng, source, 2, tokens, width)
    layer = Gelu(quantization=CONFIG)
    build(rng, layer, real)
    layer.follow(Maker(source))
    output = quantization_of(layer, "output")
    table = gelu_table(source.scale, source.zero_point, output.scale, output.zero_point)
    np.testing.assert_array_equal(integers(layer, layer(real)), gelu(x, table))

    layer = MeanPool(quantization=CONFIG)
    build(rng, layer, real)
    layer.follow(Maker(source))
    output = quantization_of(layer, "output")
    multiplier = quantize_multiplier(source.scale / output.scale / tokens)
    wanted = [mean_pool(i, source.zero_point, output.zero_point, *multiplier)[0] for i in x]
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


def test_gradient_of_a_class_token_passes_through_its_rounding():
    image = tf_keras.Input((4, 4, 1))
    patches, layer = PatchEmbed(3, 2, quantization=CONFIG), ClassToken(quantization=CONFIG)
    network = tf_keras.Model(image, layer(patches(image)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(tf.zeros([5, 4, 4, 1]))[:, 0] * [1.0, 2.0, 3.0])
    np.testing.assert_allclose(tape.gradient(loss, layer.token), [5, 10, 15])


@few
@given(seed=seeds, width=st.integers(1, 20), num_bits=bits, ratio=st.sampled_from([0.01, 1, 30]))
def test_add(seed, width, num_bits, ratio):
    rng = np.random.default_rng(seed)
    first, second = (drawn_quantization(rng, num_bits, num_bits == 16) for _ in range(2))
    # Either may have the greater scale, by far.
    first = dataclasses.replace(first, scale=float(np.float32(first.scale * ratio)))
    second = dataclasses.replace(second, scale=float(np.float32(second.scale)))
    (x, real), (y, other) = drawn(rng, first, 2, 5, width), drawn(rng, second, 2, 5, width)
    layer = Add(quantization=QuantizationConfig(residual_bits=num_bits))
    build(rng, layer, real, other)
    layer.follow(Maker(first), Maker(second))
    output = quantization_of(layer, "output")
    scales = [(q.scale, q.zero_point) for q in (first, second, output)]
    options = add_options(*(part for pair in scales for part in pair), x.dtype.name)
    np.testing.assert_array_equal(integers(layer, layer([real, other])), add(x, y, **options))


@few
@given(seed=seeds, rows=st.integers(1, 3), columns=st.integers(1, 3), num_bits=bits)
def test_token_pool(seed, rows, columns, num_bits):
    rng = np.random.default_rng(seed)
    source, size = drawn_quantization(rng, num_bits, num_bits == 16), int(rng.integers(2, 4))
    x, real = drawn(rng, source, 2, rows * columns * size**2, 5)
    config = QuantizationConfig(residual_bits=num_bits)
    layer = TokenPool((rows * size, columns * size), size, quantization=config)
    build(rng, layer, real)
    layer.follow(Maker(source))
    output = quantization_of(layer, "output")
    multiplier = quantize_multiplier(source.scale / output.scale / size**2)
    zero_points = source.zero_point, output.zero_point
    wanted = [token_pool(i, columns * size, size, *zero_points, *multiplier) for i in x]
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)
    # In floats the mean of each window, by cutting the grid.
    grid = real.numpy().reshape(2, rows, size, columns, size, 5).mean((2, 4)).reshape(2, -1, 5)
    floating = TokenPool((rows * size, columns * size), size)(real)
    np.testing.assert_allclose(floating, grid, rtol=1e-5, atol=1e-5)


@few
@given(seed=seeds, size=st.integers(2, 9), patch=st.integers(1, 4), num_bits=bits)
def test_patch_embed(seed, size, patch, num_bits):
    rng = np.random.default_rng(seed)
    images = rng.integers(-128, 128, (2, size, size, 2)).astype(np.int8)
    real = tf.constant(np.float32(images) * np.float32(IMAGE_SCALE))
    layer = PatchEmbed(6, min(size, patch), quantization=QuantizationConfig(residual_bits=num_bits))
    build(rng, layer, real)
    output, added = (quantization_of(layer, name) for name in ("output", "position"))
    kernel, constants = layer_constants(layer, Quantization(IMAGE_SCALE), [output], residual=True)
    position = np.clip(np.rint(layer.position.numpy() / added.scale), -127, 127).astype(np.int8)
    wanted = [
        patch_embed(
            image, kernel.transpose(3, 0, 1, 2), constants, 0, output.zero_point, position,
            *quantize_multiplier(added.scale / output.scale * 2**8),
            dtype=np.int8 if num_bits == 8 else np.int16,
        )
        for image in images
    ]  # fmt: skip
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)


# Of 80 values a token, the last stage sums over more than float32 holds exactly.
@pytest.mark.parametrize(("shape", "patch", "embed_dim", "num_bits"), [
    ((5, 6, 2), 4, 6, 8), ((9, 16, 3), 8, 10, 16), ((32, 32, 1), 32, 5, 8), ((7, 4, 1), 4, 160, 8),
])  # fmt: skip
def test_conv_stem(shape, patch, embed_dim, num_bits):
    rng = np.random.default_rng(patch + embed_dim)
    images = rng.integers(-128, 128, (2, *shape)).astype(np.int8)
    real = tf.constant(np.float32(images) * np.float32(IMAGE_SCALE))
    layer = ConvStem(embed_dim, patch, quantization=QuantizationConfig(residual_bits=num_bits))
    build(rng, layer, real)
    source, kernels, constants = Quantization(IMAGE_SCALE), [], []
    for stage in layer.stages:
        # Some values beyond the range, and not those of zero alone.
        layer._ranges[f"stage_{stage}"]["max_var"].assign(rng.uniform(1, 2))
        output = quantization_of(layer, f"stage_{stage}")
        names = {"kernel": f"kernel_{stage}", "bias": f"bias_{stage}"}
        kernel, part = layer_constants(layer, source, [output], **names)
        kernels.append(kernel.transpose(3, 0, 1, 2))
        constants.append(part)
        source = output
    output, added = (quantization_of(layer, name) for name in ("output", "position"))
    kernel, part = layer_constants(layer, source, [output], residual=True)
    position = np.clip(np.rint(layer.position.numpy() / added.scale), -127, 127).astype(np.int8)
    wanted = [
        conv_stem(
            image, kernels, kernel.T, np.concatenate([*constants, part]), 0, output.zero_point,
            position, *quantize_multiplier(added.scale / output.scale * 2**8),
            dtype=np.int8 if num_bits == 8 else np.int16,
        )
        for image in images
    ]  # fmt: skip
    np.testing.assert_array_equal(integers(layer, layer(real)), wanted)
    assert len(np.unique(wanted)) >= embed_dim, "it saturates everywhere"


def test_gradient_of_conv_stem_is_that_of_the_layer_without_integers():
    rng = np.random.default_rng(0)
    real = tf.constant(rng.integers(-128, 128, (2, 9, 8, 1)) * np.float32(IMAGE_SCALE))
    gradients = []
    for exact in (True, False):
        layer = ConvStem(5, 4, quantization=QuantizationConfig(integer_operators=exact))
        build(np.random.default_rng(1), layer, real)
        for name in ("stage_1", "stage_2", "output"):
            layer._ranges[name]["max_var"].assign(20.0)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(real) * tf.range(5, dtype=tf.float32))
        gradients.append(tape.gradient(loss, layer.trainable_weights))
    for one, other in zip(*gradients, strict=True):
        assert np.abs(other).max() > 0
        assert np.abs(one - other).max() < 0.05 * np.abs(other).max()


@pytest.mark.parametrize("num_bits", [8, 16])
def test_class_token_has_the_scale_of_patches_whose_range_holds_it(num_bits):
    rng = np.random.default_rng(num_bits)
    config = QuantizationConfig(residual_bits=num_bits)
    image = tf_keras.Input((4, 6, 1))
    patches = PatchEmbed(6, 2, quantization=config)
    layer = ClassToken(quantization=config)
    network = tf_keras.Model(image, layer(patches(image)))
    network.operators = lambda: [patches, layer]
    layer.token.assign([-9.0, 7.0, 0.01, -3.3, 0.0, 2.5])
    images = rng.uniform(-1, 1, (8, 4, 6, 1)).astype(np.float32)
    calibrate(network, [images])
    assert patches(images).numpy().max() < 7, "of which the patches know nothing"
    found = network(images).numpy()
    np.testing.assert_array_equal(found[:, 1:], patches(images))
    source = quantization_of(patches, "output")
    steps = np.rint(layer.token.numpy() / source.scale) + source.zero_point
    limit = 2 ** (num_bits - 1)
    np.testing.assert_array_equal(layer.integer_token(), np.clip(steps, -limit, limit - 1))
    np.testing.assert_allclose(found[:, 0], [layer.token] * 8, atol=source.scale)
    assert layer.output_quantizations() == patches.output_quantizations()
    # In training the range follows the patches slowly, but never leaves the token out.
    for _ in range(50):
        network(images, training=True)
    low, high = patches.quantization_range("output")
    assert low <= -9 + 1e-4
    assert high >= 7 - 1e-4


def test_gradient_is_that_of_the_layer_without_rounding():
    rng = np.random.default_rng(0)
    source = Quantization(0.05, -3)
    _, real = drawn(rng, source, 4, 6, 8)
    layer = FullyConnected(5, quantization=CONFIG)
    build(rng, layer, real)
    layer._ranges["output"]["min_var"].assign(-100.0)
    layer._ranges["output"]["max_var"].assign(100.0)
    layer.follow(Maker(source))
    upstream = tf.constant(rng.standard_normal((4, 6, 5)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(real)
        loss = tf.reduce_sum(layer(real) * upstream)
    by_x, by_kernel, by_bias = tape.gradient(loss, [real, layer.kernel, layer.bias])
    kernel = layer.fake_quantize("kernel", layer.kernel, False)
    np.testing.assert_allclose(by_x, upstream @ tf.transpose(kernel), rtol=1e-4, atol=1e-5)
    wanted = tf.tensordot(real, upstream, [[0, 1], [0, 1]])
    np.testing.assert_allclose(by_kernel, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_bias, tf.reduce_sum(upstream, [0, 1]), rtol=1e-4, atol=1e-5)


def test_gradient_of_attention_is_that_of_the_softmax():
    rng = np.random.default_rng(0)
    parts = [Quantization(0.03) for _ in range(3)]
    real = tf.constant(np.float32(rng.integers(-60, 61, (2, 7, 24))) * np.float32(0.03))
    upstream = tf.constant(rng.standard_normal((2, 7, 8)), tf.float32)
    gradients = []
    for config in (CONFIG, None):
        layer = Attention(4, quantization=config)
        if config is not None:
            build(rng, layer, real)
            layer.follow(Maker(*parts))
        with tf.GradientTape() as tape:
            tape.watch(real)
            loss = tf.reduce_sum(layer(real) * upstream)
        gradients.append(tape.gradient(loss, real).numpy())
    # Probabilities come from a table of steps of 0.05 nats.
    assert np.abs(gradients[0] - gradients[1]).max() < 0.05 * np.abs(gradients[1]).max()


def test_layer_that_follows_nobody_is_refused_by_name():
    layer = Gelu(quantization=CONFIG, name="lonely")
    with pytest.raises(ConfigError, match="lonely does not know how its input is quantized"):
        layer(tf.zeros([1, 4, 8]))
    token = ClassToken(quantization=CONFIG, name="lost")
    with pytest.raises(ConfigError, match="lost does not know how its input is quantized"):
        token(tf.zeros([1, 4, 8]))


def test_integers_are_left_out_while_keras_lays_out_a_model(monkeypatch):
    layers = Gelu(quantization=CONFIG), MeanPool(quantization=CONFIG)
    image = tf_keras.Input((4, 8))
    x = LayerNorm(quantization=CONFIG)(image)
    with monkeypatch.context() as patch:
        for layer in layers:
            patch.setattr(layer, "_integer_call", lambda *_: pytest.fail("traced in vain"))
            x = layer(x)
    assert (x.shape, x.dtype) == ((None, 8), tf.float32)
    assert layers[1].simulates_integers
