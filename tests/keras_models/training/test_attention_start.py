"""Attention that starts with structure: what its products and its heads look at."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.search.space import SearchSpace

ARCHITECTURE = Architecture(
    image_size=28, channels=1, num_classes=10, patch_size=4, rank_ratio=None, head_dim=8,
    embed_dim=64, num_heads=(8, 4), mlp_ratio=(2.0, 2.0), relative_position=True,
)  # fmt: skip


def layers_of(architecture, seed=0):
    subnet = build_subnet(architecture)
    initialise_attention(subnet, seed)
    return {layer.name: layer for layer in subnet.operators()}


def test_queries_match_keys_and_projected_values_oppose_their_input():
    layers = layers_of(ARCHITECTURE)
    kernel = layers["block_0_qkv"].kernel.numpy()
    query, key, value = np.split(kernel, 3, axis=1)
    # Summed over eight heads of 8 of 64 dimensions each; matrices at random give about 0.
    assert np.trace(query @ key.T) / 64 > 1
    projected = value @ layers["block_0_projection"].kernel.numpy()
    assert np.trace(projected) / 64 == pytest.approx(-0.4, abs=0.05)
    assert np.std(projected - np.diag(np.diag(projected))) == pytest.approx(0.4 / 8, rel=0.1)


def test_each_head_looks_at_one_neighbour_wherever_there_is_one():
    layer = layers_of(ARCHITECTURE)["block_0_attention"]
    grid, places = 7, [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    bias = tf.gather(layer.relative_bias, layer.distances, axis=1).numpy()
    token = 3 * grid + 3
    for head, (row, column) in enumerate(places):
        assert bias[head, token].argmax() == token + row * grid + column


def test_heads_wider_than_the_stream_still_learn():
    wide = dataclasses.replace(ARCHITECTURE, embed_dim=32)
    layers = layers_of(wide)
    kernel = layers["block_0_qkv"].kernel.numpy()
    value, projection = kernel[:, 128:], layers["block_0_projection"].kernel.numpy()
    assert np.trace(value @ projection) / 32 == pytest.approx(-0.4, abs=0.05)
    assert np.all(np.abs(value).max(0) + np.abs(projection).max(1) > 0)


def test_the_seed_decides_the_start():
    one, same, other = (
        layers_of(ARCHITECTURE, seed)["block_1_qkv"].kernel.numpy() for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_low_rank_attention_starts_with_what_its_rank_holds_of_it():
    low_rank = dataclasses.replace(ARCHITECTURE, rank_ratio=0.75, low_rank_attention=True)
    layers = layers_of(low_rank)
    kernel = layers_of(ARCHITECTURE)["block_0_qkv"].kernel.numpy()
    pair = layers["block_0_qkv_u"].kernel.numpy() @ layers["block_0_qkv_v"].kernel.numpy()
    values = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(
        np.linalg.norm(kernel - pair), np.linalg.norm(values[48:]), rtol=1e-4
    )


SPACE = SearchSpace(
    image_size=28, channels=1, num_classes=10, patch_size=(4,), rank_ratio=(0.5,),
    embed_dim=(24, 48, 64), depth=(1, 2), num_heads=(2, 4), mlp_ratio=(1.0,), head_dim=16,
    relative_position=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def supernet():
    supernet = Supernet(SPACE.largest())
    initialise_attention(supernet)
    return supernet


@pytest.mark.parametrize("heads", SPACE.num_heads)
@pytest.mark.parametrize("dim", SPACE.embed_dim)
def test_every_subnet_of_a_supernet_starts_with_the_structure(supernet, dim, heads):
    subnet = supernet.extract(SPACE.build(4, 0.5, dim, (heads,) * 2, (1.0,) * 2))
    layers = {layer.name: layer for layer in subnet.operators()}
    for block in range(2):
        kernel = layers[f"block_{block}_qkv"].kernel.numpy().reshape(dim, 3, heads, 16)
        for head in range(heads):
            product = kernel[:, 0, head] @ kernel[:, 1, head].T
            others = product - np.diag(np.diag(product))
            # A token matches itself by far more than any other: its logit of itself is the sum of
            # dim products of the first kind, of another that of dim ** 2 of the second at random.
            assert np.trace(product) > 2 * np.linalg.norm(others)
        value = kernel[:, 2].reshape(dim, -1)
        product = value @ layers[f"block_{block}_projection"].kernel.numpy()
        assert np.trace(product) < -2 * np.std(product) * dim**0.5


def test_heads_of_a_supernet_look_to_opposite_sides_in_turn(supernet):
    layer = supernet.blocks[1]["attention"]
    bias = tf.gather(layer.relative_bias, layer.distances, axis=1).numpy()
    token = 3 * 7 + 3
    seen = [divmod(int(bias[head, token].argmax()), 7) for head in range(4)]
    places = [(row - 3, column - 3) for row, column in seen]
    assert len(set(places)) == 4
    for one, other in (places[:2], places[2:]):
        assert one == (-other[0], -other[1])
