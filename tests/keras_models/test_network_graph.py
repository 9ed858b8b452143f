"""A functional model is read as a graph of our layers, or refused by what is wrong in it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer_tflm.keras_models import (
    Add,
    Attention,
    FullyConnected,
    Gelu,
    LayerNorm,
    MeanPool,
    PatchEmbed,
    QuantizationConfig,
    TokenPool,
    build_subnet,
)
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_layers import instead_of
from mcuformer_tflm.keras_models.network import as_network
from mcuformer_tflm.keras_models.network_graph import read_network

keras = tf_keras.layers


def model(make, shape=(8, 8, 1)):
    """The model of what a function makes of tokens."""
    image = tf_keras.Input(shape, name="image")
    return tf_keras.Model(image, make(PatchEmbed(4, 4, name="stem")(image)))


FOREIGN = {
    "Dense": (lambda x: keras.Dense(4)(x), "FullyConnected(units) is such a layer."),
    "LayerNormalization": (lambda x: keras.LayerNormalization()(x), "LayerNorm() is such"),
    "GlobalAveragePooling1D": (lambda x: keras.GlobalAveragePooling1D()(x), "MeanPool() is such"),
    "Add": (lambda x: keras.Add()([x, x]), "the second input of FullyConnected"),
    "Dropout": (lambda x: keras.Dropout(0.1)(x), "Leave it out: once"),
    "MultiHeadAttention": (lambda x: keras.MultiHeadAttention(1, 4)(x, x), "parts=3), then Atten"),
    "Activation": (lambda x: keras.Activation("relu")(x), "Gelu() is the activation"),
    "TFOpLambda": (lambda x: x + x, "the second input of FullyConnected"),
    "SlicingOpLambda": (lambda x: x[:, 0], "MeanPool() makes one vector"),
    "Sequential": (lambda x: tf_keras.Sequential([Gelu()])(x), "Call its layers one by one"),
    "Masking": (lambda x: keras.Masking()(x), "Make it of the layers in mcuformer_tflm.keras_mod"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_layer_is_named_with_what_does_instead(kind):
    make, instead = FOREIGN[kind]
    foreign = model(make)
    name = foreign.layers[-1].name
    with pytest.raises(ConfigError) as refused:
        as_network(foreign)
    assert str(refused.value).startswith(f"{name} is a {kind}, which has no operator of ours. ")
    assert instead in str(refused.value)


def test_a_convolution_is_replaced_by_a_stem_and_what_is_told_is_a_sentence():
    image = tf_keras.Input((8, 8, 1))
    with pytest.raises(ConfigError, match=r"Conv2D, .* PatchEmbed\(embed_dim, patch_size\) makes"):
        as_network(tf_keras.Model(image, keras.Conv2D(4, 4, 4)(image)))
    for kind in ("Dense", "Conv2D", "Dropout", "Flatten"):
        layer = getattr(keras, kind).__new__(getattr(keras, kind))
        layer._name = "x"
        assert instead_of(layer)[0].isupper()
        assert instead_of(layer).endswith(".")


def _twice(x, between=lambda y: y):
    layer = FullyConnected(4, name="shared")
    return Add()([layer(x), layer(between(x))])


def _cycle(x):
    layer = FullyConnected(4, name="shared")
    return layer(Gelu()(layer(x)))


def _qkv(x):
    return FullyConnected(12, parts=3, name="qkv")(x)


def _mixed(x):
    return Gelu(quantization=QuantizationConfig())(LayerNorm(name="norm")(x))


WRONG = {
    "twice": (_twice, "shared is called twice; each operator has weights .* a layer for each call"),
    "cycle": (_cycle, "shared is called on what follows from its own output, a cycle; each"),
    "parts": (lambda x: Gelu(name="gelu")(_qkv(x)), "gelu reads qkv, whose 3 parts have scales"),
    "joined parts": (lambda x: Attention(4, name="a")(FullyConnected(12, name="one")(x)),
                     r"a reads one; Attention reads queries, .*parts=3\)"),
    "parts out": (_qkv, "qkv is an output whose 3 parts have scales of their own"),
    "residual": (lambda x: FullyConnected(4, name="fc")([x, MeanPool(name="m")(x)]),
                 r"fc gives \[4, 4\] an image and adds m, \[4\]; a residual has the shape"),
    "double precision": (lambda x: Gelu(name="wide", dtype="float64")(x), "wide computes in 'floa"),
    "units": (lambda x: FullyConnected(4, name="fc")(x, units=2), "fc is called with units"),
    "mixed": (_mixed, "gelu.* is quantized and stem is not"),
    "stem of tokens": (lambda x: PatchEmbed(4, 1, name="p")(keras.Reshape((2, 2, 4))(x)),
                       "Reshape"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_in_a_graph_is_named_with_its_layer(fault):
    make, named = WRONG[fault]
    with pytest.raises(ConfigError, match=named):
        as_network(model(make))


def test_inputs_and_outputs_that_are_none_are_refused():
    image, other = (tf_keras.Input((8, 8, 1), name=name) for name in ("image", "other"))
    stem = PatchEmbed(4, 4, name="stem")(image)
    for inputs, outputs, named in (
        ([image, other], Add()([stem, PatchEmbed(4, 4)(other)]), "has 2 inputs; networks take one"),
        (image, [stem, stem], "stem is an output of the model twice"),
        (image, [stem, image], "gives its image image back"),
        (image, Gelu(name="g")(image), "g reads image; a stem such as PatchEmbed"),
    ):
        with pytest.raises(ConfigError, match=named):
            as_network(tf_keras.Model(inputs, outputs))
    for shape in ((None, 8, 1), (8, 8)):
        image = tf_keras.Input(shape)
        with pytest.raises(ConfigError, match="takes an input of shape"):
            as_network(tf_keras.Model(image, Gelu()(image)))
    for nothing in ("model.h5", tf_keras.Model(), np.zeros(3)):
        with pytest.raises(ConfigError, match=r"network is a \w+; give one of the networks"):
            as_network(nothing)


WIDE = QuantizationConfig(residual_bits=16)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda x: FullyConnected(4, name="fc")(x),
         "fc takes integers of 8 bits where stem gives 16.* put a LayerNorm between, or quantize "),
        (lambda x: Add(name="sum")([x, LayerNorm(name="norm")(x)]),
         "sum takes integers of 16 bits where norm gives 8.* take what is of the residual stream"),
        (lambda x: FullyConnected(4, name="fc")([LayerNorm(name="norm")(x), LayerNorm()(x)]),
         "fc takes integers of 16 bits where layer_norm.* gives 8"),
        (lambda x: TokenPool((2, 2), name="pool")(LayerNorm(name="norm")(x)),
         "pool takes integers of 16 bits where norm gives 8"),
    ],
)  # fmt: skip
def test_branches_of_other_widths_are_refused_with_what_would_join_them(make, named):
    network = as_network(model(make))
    with pytest.raises(ConfigError, match=named):
        network.uncalibrated_copy(WIDE)
    assert network.uncalibrated_copy().quantized, "8 bits go together with 8"


def test_grids_that_are_none_are_refused_by_the_pools_name():
    for arguments, named in (
        (((3, 4), 2), "size is 2, and pool pools a grid of 3 by 4 tokens"),
        (((4, 4), 1), "size is 1; it must be at least 2"),
        (((32, 32), 32), "size is 32; it must be at most 16"),
        ((16, 2), r"grid is 16; it must be the \(rows, columns\)"),
    ):
        with pytest.raises(ConfigError, match=named):
            TokenPool(*arguments, name="pool")
    with pytest.raises(ConfigError, match=r"pool pools a grid of 4 by 4 .* of shape \(4, 4\)"):
        model(lambda x: TokenPool((4, 4), name="pool")(x))
    with pytest.raises(ConfigError, match=r"sum adds \(4, 4\) and \(4,\); it takes a list of two"):
        model(lambda x: Add(name="sum")([x, MeanPool()(x)]))
    with pytest.raises(ConfigError, match="sum adds one tensor"):
        model(lambda x: Add(name="sum")(x))


def test_only_layers_that_give_an_output_keep_8_bits_of_weights():
    network = as_network(model(lambda x: FullyConnected(3, name="head")(FullyConnected(4)(x))))
    copy = network.uncalibrated_copy(QuantizationConfig(weight_bits=4))
    bits = [layer.quantizer("kernel").num_bits for layer in copy.operators()]
    assert bits == [8, 4, 8]


def test_a_copy_has_the_weights_of_frozen_layers_too():
    network = as_network(model(lambda x: Gelu()(FullyConnected(4, name="fc")(x))))
    for layer in network.layers:
        layer.trainable = False
    copy = network.float_copy()
    assert copy.get_layer("fc") is not network.get_layer("fc")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(copy(images), network(images))
    assert copy.get_layer("fc").trainable


def test_a_subnet_is_walked_in_the_order_in_which_keras_lists_its_layers():
    subnet = build_subnet(
        Architecture(8, 1, 3, 4, 0.5, 4, 8, (1, 2), (1.0, 2.0), low_rank_attention=True)
    )
    names = [layer.name for layer in subnet.layers if not isinstance(layer, keras.InputLayer)]
    assert [layer.name for layer in subnet.operators()] == names


@settings(max_examples=8)
@given(st.data())
def test_layers_run_after_what_they_read_however_branches_fork(data):
    image = tf_keras.Input((8, 8, 1), name="image")
    made = [PatchEmbed(4, 4)(image)]
    for _ in range(data.draw(st.integers(1, 8))):
        x, y = (made[data.draw(st.integers(0, len(made) - 1))] for _ in range(2))
        made.append(data.draw(st.sampled_from([
            lambda x, y: Gelu()(x), lambda x, y: Add()([x, y]),
            lambda x, y: FullyConnected(4)([x, y]), lambda x, y: PatchEmbed(4, 4)(image),
        ]))(x, y))  # fmt: skip
    outputs = data.draw(st.lists(st.sampled_from(made[1:]), min_size=1, max_size=3, unique_by=id))
    network = tf_keras.Model(image, outputs)
    graph = read_network(network)
    done = {"image"}
    for node in graph.nodes:
        assert set(node.sources) <= done
        assert node.name not in done
        done.add(node.name)
    assert done == {layer.name for layer in network.layers}
    pixels = tf.random.stateless_uniform([2, 8, 8, 1], [1, 2], -1, 1)
    copy = as_network(network).float_copy()
    for found, wanted in zip(copy(pixels) if len(outputs) > 1 else [copy(pixels)],
                             network(pixels) if len(outputs) > 1 else [network(pixels)],
                             strict=True):  # fmt: skip
        np.testing.assert_array_equal(found, wanted)
