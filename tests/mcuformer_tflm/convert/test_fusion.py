"""Layers become one operator where that computes the same, and only there."""

import pytest
import tf_keras

from mcuformer_tflm.convert import fusion
from mcuformer_tflm.keras_models import (
    Attention,
    FullyConnected,
    Gelu,
    LayerNorm,
    MeanPool,
    PatchEmbed,
)
from mcuformer_tflm.keras_models.network_graph import read_network


@pytest.fixture
def narrow(monkeypatch):
    """Names of layers whose weights have 4 bits."""
    names = set()
    monkeypatch.setattr(fusion, "weight_bits", lambda layer: 4 if layer.name in names else 8)
    return names


def matrix(tokens, units, name, rank, **options):
    if rank is not None:
        first, *others = tokens if isinstance(tokens, list) else [tokens]
        first = FullyConnected(rank, name=f"{name}_u")(first)
        tokens = [first, *others] if others else first
    return FullyConnected(units, name=name, **options)(tokens)


def mlp(ranks=(None, None), elsewhere=False, outputs=()):
    """A stem, an MLP that adds to what it normalises or, elsewhere, to the stem, and the mean."""
    image = tf_keras.Input((8, 8, 1), name="image")
    stem = PatchEmbed(8, 4, name="stem")(image)
    source = FullyConnected(8, name="before")(stem)
    tokens = matrix(LayerNorm(name="norm")(source), 12, "fc1", ranks[0])
    tokens = Gelu(name="gelu")(tokens)
    tokens = matrix([tokens, stem if elsewhere else source], 8, "fc2", ranks[1])
    mean = MeanPool(name="mean")(tokens)
    network = tf_keras.Model(image, mean)
    return tf_keras.Model(image, [*(network.get_layer(name).output for name in outputs), mean])


def groups(network, *arguments, **options):
    found = fusion.group_layers(read_network(network), *arguments, **options)
    return [" ".join(node.name for node in group) for group in found]


@pytest.mark.parametrize(
    ("ranks", "operator"),
    [((None, None), "norm fc1 gelu fc2"), ((3, 3), "norm fc1_u fc1 gelu fc2_u fc2")],
)
def test_a_residual_mlp_is_one_operator(narrow, ranks, operator):
    assert groups(mlp(ranks)) == ["stem", "before", operator, "mean"]
    narrow.update(operator.split())
    assert groups(mlp(ranks)) == ["stem", "before", operator, "mean"]


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ({"elsewhere": True}, "norm,fc1,gelu,fc2"),
        ({"ranks": (3, None)}, "norm,fc1_u fc1,gelu,fc2"),
        ({"ranks": (None, 3)}, "norm,fc1,gelu,fc2_u fc2"),
        ({"ranks": (3, 4)}, "norm,fc1_u fc1,gelu,fc2_u fc2"),
        ({"outputs": ["norm"]}, "norm,fc1,gelu,fc2"),
        ({"outputs": ["fc1"]}, "norm,fc1,gelu,fc2"),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_an_mlp_of_which_one_operator_has_no_arithmetic_or_others_read_a_part_is_several(
    options, rest
):
    assert groups(mlp(**options)) == ["stem", "before", *rest.split(","), "mean"]


@pytest.mark.usefixtures("narrow")
def test_what_another_layer_reads_too_is_held():
    network = mlp()
    for name in ("norm", "fc1", "gelu"):
        also = FullyConnected(2, name="also")(network.get_layer(name).output)
        found = groups(tf_keras.Model(network.input, [network.output, also]))
        assert [group for group in found if " " in group] == []
        assert {"norm", "fc1", "gelu", "fc2", "also"} <= set(found)


def test_matrices_of_different_widths_of_weights_are_operators_of_their_own(narrow):
    narrow.add("fc2")
    assert groups(mlp()) == ["stem", "before", "norm", "fc1", "gelu", "fc2", "mean"]
    narrow.update(("fc1", "fc2_u"))
    assert groups(mlp((3, 3)))[2:-1] == ["norm", "fc1_u", "fc1", "gelu", "fc2_u fc2"]


def attention(rank=None):
    """A stem, and attention on queries, keys and values of what is normalised."""
    image = tf_keras.Input((8, 8, 1), name="image")
    stem = PatchEmbed(24, 4, name="stem")(image)
    norm = LayerNorm(name="norm")(stem)
    tokens = matrix(norm, 24, "qkv", rank, parts=3)
    return tf_keras.Model(image, MeanPool(name="mean")(Attention(4, name="attention")(tokens)))


@pytest.mark.usefixtures("narrow")
def test_attention_takes_in_what_gives_its_queries_keys_and_values():
    assert groups(attention()) == ["stem", "norm qkv attention", "mean"]
    assert groups(attention(rank=3)) == ["stem", "norm qkv_u qkv attention", "mean"]
    assert groups(attention(), ["attention"]) == ["stem", "norm", "qkv attention", "mean"]
    kept = ["stem", "norm", "qkv_u", "qkv attention", "mean"]
    assert groups(attention(rank=3), ["attention"]) == kept
    assert groups(attention(), one_by_one=True) == ["stem", "norm", "qkv", "attention", "mean"]


@pytest.mark.usefixtures("narrow")
def test_a_layer_that_adds_a_residual_goes_into_no_operator_behind_it():
    image = tf_keras.Input((8, 8, 1), name="image")
    stem = PatchEmbed(8, 4, name="stem")(image)
    total = FullyConnected(8, name="sum")([LayerNorm(name="norm")(stem), stem])
    head = FullyConnected(4, name="head")(total)
    assert groups(tf_keras.Model(image, head)) == ["stem", "norm", "sum", "head"]
