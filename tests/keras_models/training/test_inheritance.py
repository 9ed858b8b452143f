"""Supernets that start from what another pair's has learnt."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
from mcuformer_tflm.search.space import SearchSpace

SPACE = SearchSpace(
    image_size=16, channels=2, num_classes=3, patch_size=(4, 8), rank_ratio=(0.5, 0.75),
    embed_dim=(8, 16), depth=(1,), num_heads=(1, 2), mlp_ratio=(2.0,), head_dim=4,
    low_rank_attention=True, relative_position=True, pooling="class_token", stem=("patch", "conv"),
)  # fmt: skip


def supernet(patch_size, rank_ratio, stem="patch", seed=0):
    """Returns a supernet none of whose weights is as a fresh one's."""
    made = Supernet(SPACE.at(patch_size, rank_ratio, stem=stem).largest())
    rng = np.random.default_rng(seed)
    for weight in made.trainable_weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (5, 16, 16, 2)).astype(np.float32)


def test_higher_rank_starts_with_the_outputs_of_the_lower_one(images):
    source, heir = supernet(4, 0.5), supernet(4, 0.75, seed=1)
    inherit_weights(heir, source)
    np.testing.assert_allclose(heir(images), source(images), atol=1e-5)
    for name in ("qkv", "projection", "fc1", "fc2"):
        u, v = heir.blocks[0][f"{name}_u"], heir.blocks[0][f"{name}_v"]
        assert np.all(np.any(u.kernel.numpy()[:, 8:], 0)), "or what is added would never learn"
        assert not np.any(v.kernel.numpy()[8:])


def test_lower_rank_starts_with_the_leading_part_of_the_higher_one(images):
    source, heir = supernet(4, 0.75), supernet(4, 0.5, seed=1)
    inherit_weights(heir, source)
    for name in ("qkv", "projection", "fc1", "fc2"):
        for part in ("u", "v"):
            layer = source.blocks[0][f"{name}_{part}"]
            rows, columns = (slice(None), slice(8)) if part == "u" else (slice(8), slice(None))
            layer.kernel.assign(tf.pad(
                layer.kernel[rows, columns],
                [[0, 0], [0, 4]] if part == "u" else [[0, 4], [0, 0]],
            ))  # fmt: skip
    np.testing.assert_allclose(heir(images), source(images), atol=1e-5)


def test_larger_patches_give_the_tokens_of_an_image_that_is_as_much_larger():
    source, heir = supernet(4, 0.5), supernet(8, 0.5, seed=1)
    inherit_weights(heir, source)
    # Patches of a resized image are resized patches: FlexiViT's condition, position apart.
    small = np.random.default_rng(2).uniform(-1, 1, (3, 4, 4, 2)).astype(np.float32)
    large = tf.image.resize(small, (8, 8))

    def products(network, patch):
        return np.tensordot(patch, network.stem.kernel.numpy(), 3) + network.stem.bias.numpy()

    np.testing.assert_allclose(products(heir, large), products(source, small), atol=1e-4)


@pytest.mark.parametrize(("was", "becomes"), [(4, 8), (8, 4)])
def test_positions_and_biases_are_interpolated_over_the_same_image(was, becomes):
    source, heir = supernet(was, 0.5), supernet(becomes, 0.5, seed=1)
    rows = source.largest.grid_height
    # A slope from the top to the bottom, and biases that fall with the distance in pixels.
    slope = np.linspace(-1, 1, rows)[:, None, None] * np.ones((rows, rows, 16))
    source.stem.position.assign(slope.reshape(-1, 16))
    far = np.abs(np.arange(1 - rows, rows)) / rows
    table = -(far[:, None] + far)
    biases = np.concatenate([np.stack(2 * [table.ravel()]), [[1.0, 2.0, 3.0]] * 2], 1)
    source.blocks[0]["attention"].relative_bias.assign(biases)
    inherit_weights(heir, source)
    rows = heir.largest.grid_height
    position = heir.stem.position.numpy().reshape(rows, rows, 16)
    assert np.all(np.diff(position, axis=0) > 0)
    np.testing.assert_allclose(
        position, np.broadcast_to(position[:, :1, :1], position.shape), atol=1e-5
    )
    np.testing.assert_allclose(position, -position[::-1], atol=1e-5)
    found = heir.blocks[0]["attention"].relative_bias.numpy()
    np.testing.assert_array_equal(found[:, -3:], biases[:, -3:])
    grid = found[0, :-3].reshape(2 * rows - 1, 2 * rows - 1)
    assert grid.argmax() == grid.size // 2, "a token itself"
    np.testing.assert_allclose(grid, grid[::-1, ::-1], atol=1e-5)


@pytest.mark.parametrize(("was", "becomes"), [(4, 8), (8, 4)])
def test_convolutions_next_to_the_image_and_to_the_tokens_are_taken_over(was, becomes):
    source, heir = supernet(was, 0.5, "conv"), supernet(becomes, 0.5, "conv", seed=1)
    before = supernet(becomes, 0.5, "conv", seed=1).stem
    inherit_weights(heir, source)
    new, old = heir.stem, source.stem
    last = {4: 2, 8: 3}
    for name in ("kernel", "gain", "bias"):
        np.testing.assert_array_equal(
            getattr(new, f"{name}_{last[becomes]}"), getattr(old, f"{name}_{last[was]}")
        )
        one, other, fresh = (getattr(stem, f"{name}_1").numpy() for stem in (new, old, before))
        units = min(one.shape[-1], other.shape[-1])
        np.testing.assert_array_equal(one[..., :units], other[..., :units])
        np.testing.assert_array_equal(one[..., units:], fresh[..., units:])
    np.testing.assert_array_equal(new.kernel, old.kernel)


def test_another_stem_leaves_the_kernels_fresh_and_takes_over_all_else():
    source, heir = supernet(4, 0.5, "conv"), supernet(4, 0.5, seed=1)
    fresh = heir.stem.kernel.numpy()
    inherit_weights(heir, source)
    np.testing.assert_array_equal(heir.stem.kernel, fresh)
    np.testing.assert_array_equal(heir.stem.position, source.stem.position)
    for one, other in zip(heir.operators(), source.operators(), strict=True):
        if one is not heir.stem:
            for weight, trained in zip(one.weights, other.weights, strict=True):
                np.testing.assert_array_equal(weight, trained)


def test_supernet_of_another_space_is_refused():
    other = Supernet(dataclasses.replace(SPACE.at(4, 0.5, stem="patch"), num_classes=4).largest())
    with pytest.raises(ConfigError, match="num_classes is 4 in the source and 3 here"):
        inherit_weights(supernet(4, 0.5), other)
