import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.layers.attention import _distances
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.low_rank import (
    full_matrices,
    initialise_low_rank,
    low_rank_pair,
)
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import (
    OneNetwork,
    SupernetTrainer,
    batches,
)
from mcuformer_tflm.search.cost.memory import num_parameters
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE

SPACE = dataclasses.replace(FASHION_MNIST_SPACE.at(7, 0.8), depth=(1, 2))


@pytest.fixture(scope="module")
def supernet():
    return Supernet(SPACE.largest())


@pytest.mark.parametrize("seed", range(6))
def test_extracted_subnet_gives_the_supernets_outputs(supernet, seed):
    rng = np.random.default_rng(seed)
    architecture = SPACE.sample(rng)
    images = rng.uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    inside = supernet(images, tf.constant(supernet.encode(architecture)))
    np.testing.assert_allclose(inside, supernet.extract(architecture)(images), atol=1e-5)


def test_every_subnet_runs_in_two_traces_one_to_train_one_to_predict(supernet):
    rng = np.random.default_rng(0)
    images, classes = rng.uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32), np.arange(8) % 10
    trainer = SupernetTrainer(supernet, steps=8)
    data = batches(images, classes.astype(np.int32), 4, seed=0)
    for _ in range(4):
        trainer.train(data, SPACE)
        for count in (5, 8):
            trainer.accuracy(SPACE.sample(rng), images[:count], classes[:count])
    assert trainer.traces == 2


def test_blocks_beyond_the_depth_do_not_learn():
    supernet = Supernet(SPACE.largest())
    rng = np.random.default_rng(0)
    shallow = SPACE.smallest()
    images, classes = rng.uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32), np.arange(8) % 10
    data = batches(images, classes.astype(np.int32), 8, seed=0)
    trainer = SupernetTrainer(
        supernet, TrainingRecipe(learning_rate=1e-2, weight_decay=0.0), steps=2
    )
    before = [layers["qkv"].kernel.numpy() for layers in supernet.blocks]
    for _ in range(2):
        trainer.train(data, OneNetwork(shallow))
    moved = [
        np.abs(layers["qkv"].kernel.numpy() - old).max() > 1e-4
        for layers, old in zip(supernet.blocks, before, strict=True)
    ]
    assert moved == [block < shallow.depth for block in range(len(moved))]


@pytest.mark.parametrize(
    ("field", "value"),
    [("patch_size", 4), ("rank_ratio", 0.5), ("embed_dim", 80), ("num_heads", (9,))],
)
def test_foreign_architecture_is_refused_by_its_field(supernet, field, value):
    foreign = dataclasses.replace(SPACE.smallest(), **{field: value})
    with pytest.raises(ConfigError, match=field):
        supernet.encode(foreign)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rank_ratio", 0.0), ("rank_ratio", 1.5), ("patch_size", 99), ("embed_dim", 0),
     ("num_heads", (2, 2))],
)  # fmt: skip
def test_impossible_architecture_is_refused_by_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(SPACE.smallest(), **{field: value})


def test_architecture_survives_json():
    architecture = SPACE.sample(np.random.default_rng(1))
    assert Architecture.from_json(architecture.to_json()) == architecture
    with pytest.raises(ConfigError):
        Architecture.from_json('{"embed_dim": 3}')


def test_rank_is_not_lost_to_binary_fractions():
    wide = dataclasses.replace(SPACE.smallest(), rank_ratio=0.95, embed_dim=60)
    assert wide.rank == 57


def options(**kwargs):
    return dataclasses.replace(SPACE, **kwargs)


OPTIONS = {
    "low_rank_attention": options(low_rank_attention=True),
    "relative_position": options(relative_position=True),
    "class_token": options(pooling="class_token"),
    "all": options(low_rank_attention=True, relative_position=True, pooling="class_token"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_extracts_subnets_of_the_same_outputs(name):
    space = OPTIONS[name]
    supernet = Supernet(space.largest())
    rng = np.random.default_rng(0)
    for weight in supernet.trainable_weights:
        # Biases and relative positions start at zero, where a wrong slice would not show.
        weight.assign_add(0.05 * rng.standard_normal(weight.shape))
    images = rng.uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    run = tf.function(supernet)
    for architecture in (space.largest(), space.smallest(), *(space.sample(rng) for _ in "xy")):
        subnet = supernet.extract(architecture)
        inside = run(images, tf.constant(supernet.encode(architecture)))
        np.testing.assert_allclose(inside, subnet(images), atol=2e-5)
        assert subnet.count_params() == num_parameters(architecture)
    assert run.experimental_get_tracing_count() == 1


def test_whole_matrices_extract_subnets_of_the_same_outputs():
    largest, smallest = (
        dataclasses.replace(network, rank_ratio=None)
        for network in (SPACE.largest(), SPACE.smallest())
    )
    supernet = Supernet(largest)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    for architecture in (largest, smallest):
        subnet = supernet.extract(architecture)
        inside = supernet(images, tf.constant(supernet.encode(architecture)))
        np.testing.assert_allclose(inside, subnet(images), atol=2e-5)
        assert subnet.count_params() == num_parameters(architecture)


def test_network_with_another_option_is_no_subnet():
    other = dataclasses.replace(SPACE, low_rank_attention=True).smallest()
    with pytest.raises(ConfigError, match="low_rank_attention is True"):
        Supernet(SPACE.largest()).encode(other)


def test_architecture_of_before_the_options_still_loads():
    text = (
        '{"channels": 1, "embed_dim": 32, "head_dim": 16, "image_size": 28, "mlp_ratio": [2.0], '
        '"num_classes": 10, "num_heads": [2], "patch_size": 7, "rank_ratio": 0.8}'
    )
    architecture = Architecture.from_json(text)
    assert architecture.pooling == "mean"
    assert not architecture.low_rank_attention
    assert not architecture.relative_position


def test_class_token_is_one_token_more():
    assert SPACE.smallest().sequence_length == 16
    assert OPTIONS["class_token"].smallest().sequence_length == 17


def test_relative_bias_depends_on_distance_alone():
    distances = _distances((3, 3), class_token=True)
    patches = distances[1:, 1:]
    assert patches[0, 1] == patches[1, 2] == patches[3, 4], "one column to the right"
    assert patches[0, 1] != patches[1, 0]
    assert len(np.unique(patches)) == 25
    assert np.unique(distances).tolist() == list(range(28))


@pytest.mark.parametrize("rank", [1, 5, 12, 20])
def test_low_rank_pair_is_the_best_of_its_rank_and_of_every_smaller_one(rank):
    matrix = np.random.default_rng(0).standard_normal((12, 15))
    u, v = low_rank_pair(matrix, rank)
    assert (u.shape, v.shape) == ((12, rank), (rank, 15))
    values = np.linalg.svd(matrix, compute_uv=False)
    for k in range(1, rank + 1):
        error = np.linalg.norm(matrix - u[:, :k] @ v[:k])
        # Eckart and Young: no matrix of rank k is nearer.
        np.testing.assert_allclose(error, np.linalg.norm(values[k:]), atol=1e-5)


def test_supernet_starts_from_trained_matrices():
    space = OPTIONS["low_rank_attention"]
    supernet = Supernet(space.largest())
    rng = np.random.default_rng(0)
    dim, units = space.largest().embed_dim, 3 * space.largest().attention_dim(0)
    # Of a rank that the pair holds, so that nothing is lost.
    kernel = rng.standard_normal((dim, 20)) @ rng.standard_normal((20, units)) / 20
    bias = rng.standard_normal(units)
    initialise_low_rank(supernet, {"block_0_qkv": (kernel, bias)})
    x = rng.standard_normal((2, 3, dim)).astype(np.float32)
    layers = supernet.blocks[0]
    np.testing.assert_allclose(
        layers["qkv_v"](layers["qkv_u"](x)), x @ kernel + bias, rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ConfigError, match="no low-rank pair 'block_0_fc3'"):
        initialise_low_rank(supernet, {"block_0_fc3": (kernel, bias)})
    with pytest.raises(ConfigError, match=r"block_0_fc1 is \(64, 192\).*takes \(64, 192\)"):
        initialise_low_rank(supernet, {"block_0_fc1": (kernel, bias[1:])})


def test_low_rank_network_starts_with_the_outputs_of_its_full_rank_teacher():
    whole = build_subnet(dataclasses.replace(SPACE.smallest(), rank_ratio=None))
    # As many ranks as the narrower side of each matrix: nothing is lost.
    pairs = build_subnet(dataclasses.replace(SPACE.smallest(), rank_ratio=1.0))
    rng = np.random.default_rng(0)
    for weight in whole.trainable_weights:
        weight.assign_add(0.05 * rng.standard_normal(weight.shape))
    shared = {layer.name: layer for layer in pairs.operators()}
    for layer in whole.operators():
        if layer.name in shared:
            shared[layer.name].set_weights(layer.get_weights())
    matrices = full_matrices(whole)
    initialise_low_rank(pairs, {k: v for k, v in matrices.items() if "_fc" in k})
    images = rng.uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    np.testing.assert_allclose(pairs(images), whole(images), atol=1e-4)


def test_mixed_precision_computes_in_16_bits_and_keeps_weights_in_32():
    single, mixed = Supernet(SPACE.largest()), Supernet(SPACE.largest(), "mixed_bfloat16")
    mixed.set_weights(single.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    assert mixed.blocks[0]["norm_1"](mixed.patch_embed(images)).dtype == tf.bfloat16
    logits = mixed(images)
    assert logits.dtype == tf.float32
    assert all(weight.dtype == tf.float32 for weight in mixed.trainable_weights)
    np.testing.assert_allclose(logits, single(images), atol=0.1)
    assert np.abs(logits - single(images)).max() > 0
    with pytest.raises(ConfigError, match="precision is 'float8'"):
        Supernet(SPACE.largest(), "float8")


HEADS = dataclasses.replace(
    SPACE, embed_dim=(24, 32), num_heads=(2, 3), head_dim=(4, 6, 16), relative_position=True
)


@pytest.mark.parametrize("low_rank", [False, True])
def test_subnets_of_fewer_and_narrower_heads_are_slices_of_the_same_heads(low_rank):
    space = dataclasses.replace(HEADS, low_rank_attention=low_rank)
    supernet = Supernet(space.largest())
    rng = np.random.default_rng(0)
    for weight in supernet.trainable_weights:
        weight.assign_add(0.05 * rng.standard_normal(weight.shape))
    images = rng.uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    run = tf.function(supernet)
    for heads, head_dim in ((3, 16), (2, 16), (3, 6), (2, 4)):
        architecture = space.build(7, 0.8, 24, (heads, 2), (2.0, 3.0), head_dim=head_dim)
        subnet = supernet.extract(architecture)
        inside = run(images, tf.constant(supernet.encode(architecture)))
        np.testing.assert_allclose(inside, subnet(images), atol=2e-5)
        assert subnet.count_params() == num_parameters(architecture)
    assert run.experimental_get_tracing_count() == 1
    # The last one's second head is the supernet's second, from its first value on.
    name = "qkv_v" if low_rank else "qkv"
    full = supernet.blocks[0][name].kernel.numpy()
    part = subnet.get_layer(f"block_0_{name}").kernel.numpy()
    for which in range(3):  # queries, keys, values
        second = part[:, (2 * which + 1) * 4 :][:, :4]
        start = (3 * which + 1) * 16
        np.testing.assert_array_equal(second, full[: len(part), start : start + 4])


def test_wider_heads_than_the_supernets_are_refused():
    supernet = Supernet(dataclasses.replace(SPACE, depth=(1,)).largest())
    with pytest.raises(ConfigError, match="head_dim 17 exceed this supernet's 64, 1 and 16"):
        supernet.encode(dataclasses.replace(SPACE.smallest(), head_dim=17))
