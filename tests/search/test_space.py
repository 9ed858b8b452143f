import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets
from mcuformer_tflm.search.space import (
    FASHION_MNIST_SPACE,
    FASHION_MNIST_WIDE_SPACE,
    SearchSpace,
)

seeds = st.integers(0, 10**6).map(np.random.default_rng)


@given(seeds, st.sampled_from([SearchSpace(), FASHION_MNIST_SPACE]))
def test_samples_mutants_and_children_stay_inside_the_space(rng, space):
    one, other = space.sample(rng), space.sample(rng)
    for network in (one, space.mutate(one, rng), space.crossover(one, other, rng)):
        assert space.contains(network)


def test_all_values_of_all_blocks_are_drawn():
    rng = np.random.default_rng(0)
    drawn = [FASHION_MNIST_SPACE.sample(rng) for _ in range(200)]
    for field in ("patch_size", "rank_ratio", "embed_dim", "depth"):
        values = getattr(FASHION_MNIST_SPACE, field)
        shares = [np.mean([getattr(one, field) == value for one in drawn]) for value in values]
        np.testing.assert_allclose(shares, 1 / len(values), atol=0.1)
    # Of each block by itself.
    assert {one.num_heads[:2] for one in drawn} == {(a, b) for a in (2, 3, 4) for b in (2, 3, 4)}
    assert {one.mlp_ratio[:2] for one in drawn} == {(a, b) for a in (2.0, 3.0) for b in (2.0, 3.0)}


def test_mutation_redraws_a_factor_with_its_probability_and_leaves_the_others():
    rng, space = np.random.default_rng(0), FASHION_MNIST_SPACE
    one = space.build(4, 0.5, 48, (3, 2, 4), (2.0, 3.0, 2.0))
    mutants = [space.mutate(one, rng) for _ in range(1500)]
    # A value that is redrawn is another one in two of three draws, of two values in one of two.
    assert np.mean([m.embed_dim != 48 for m in mutants]) == pytest.approx(0.2 * 2 / 3, abs=0.03)
    assert np.mean([m.depth != 3 for m in mutants]) == pytest.approx(0.2 * 2 / 3, abs=0.03)
    for block in range(3):
        same = [m for m in mutants if m.depth > block]
        heads = np.mean([m.num_heads[block] != one.num_heads[block] for m in same])
        ratio = np.mean([m.mlp_ratio[block] != one.mlp_ratio[block] for m in same])
        assert heads == pytest.approx(0.4 * 2 / 3, abs=0.04)
        assert ratio == pytest.approx(0.4 / 2, abs=0.04)
    for _ in range(30):
        deeper = space.mutate(one, rng, whole_probability=1, block_probability=0)
        kept = min(3, deeper.depth)
        assert deeper.num_heads[:kept] == one.num_heads[:kept], "blocks that stay are as they were"
        assert deeper.mlp_ratio[:kept] == one.mlp_ratio[:kept]
    assert space.mutate(one, rng, whole_probability=0, block_probability=0) == one


def test_a_child_has_each_factor_from_either_parent_and_the_depth_and_last_blocks_of_one():
    rng = np.random.default_rng(0)
    space = dataclasses.replace(FASHION_MNIST_SPACE, head_dim=(8, 16))
    one = space.build(4, 0.5, 32, (2, 2), (2.0, 2.0), head_dim=8)
    other = space.build(4, 0.5, 64, (3, 4, 3, 4), (2.0, 3.0, 2.0, 3.0), head_dim=16)
    children = [space.crossover(one, other, rng) for _ in range(1000)]
    for child in children:
        assert child.num_heads[2:] == other.num_heads[2 : child.depth]
        assert child.mlp_ratio[2:] == other.mlp_ratio[2 : child.depth]
    # All that two parents can give, each factor by itself.
    met = {(c.depth, c.embed_dim, c.head_dim, *c.num_heads[:2], *c.mlp_ratio[:2]) for c in children}
    assert met == set(
        itertools.product((2, 4), (32, 64), (8, 16), (2, 3), (2, 4), (2.0,), (2.0, 3.0))
    )


def test_smaller_networks_are_the_next_ones_in_one_factor_each():
    space = dataclasses.replace(FASHION_MNIST_SPACE, mlp_ratio=(1.0, 2.0, 3.0), head_dim=(4, 8, 16))
    one = space.build(4, 0.5, 64, (2, 3, 4, 2), (1.0, 2.0, 3.0, 1.0), head_dim=16)
    wanted = [
        {"embed_dim": 48}, {"head_dim": 8},
        {"num_heads": (2, 3, 4), "mlp_ratio": (1.0, 2.0, 3.0)},
        {"num_heads": (2, 2, 3, 2)}, {"mlp_ratio": (1.0, 1.0, 2.0, 1.0)},
    ]  # fmt: skip
    assert space.smaller(one) == [dataclasses.replace(one, **change) for change in wanted]


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": (28, 27)}, {"channels": 3}, {"num_classes": 9}, {"pooling": "class_token"},
        {"relative_position": True}, {"low_rank_attention": True}, {"patch_size": 14},
        {"rank_ratio": 0.55}, {"embed_dim": 40}, {"head_dim": 8}, {"stem": "conv"},
        {"num_heads": (2, 2, 5, 2)}, {"mlp_ratio": (2.0, 2.0, 2.5, 2.0)},
        {"num_heads": (2, 2, 2), "mlp_ratio": (2.0, 2.0, 2.0)},
    ],
    ids=str,
)  # fmt: skip
def test_a_network_that_is_another_in_one_field_is_not_in_the_space(change):
    space = dataclasses.replace(FASHION_MNIST_SPACE, depth=(2, 4))
    one = space.build(4, 0.5, 32, (2,) * 4, (2.0,) * 4)
    assert space.contains(one)
    assert not space.contains(dataclasses.replace(one, **change))


def test_default_is_the_papers_space():
    space = SearchSpace()
    largest = space.largest()
    assert (largest.embed_dim, largest.depth, largest.num_tokens) == (216, 14, 225)
    assert largest.attention_dim(0) == 4 * 64
    assert len(space.patch_size) * len(space.rank_ratio) == 60
    # 3 widths; 2 heads x 2 ratios a block over 12, 13 and 14 blocks; 60 supernets.
    assert space.num_subnets() == 60 * 3 * (4**12 + 4**13 + 4**14)


@pytest.mark.parametrize("field", ["patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio"])
@pytest.mark.parametrize("value", [(), (3, 2)])
def test_factor_without_ascending_values_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        SearchSpace(**{field: value})


def test_pair_outside_the_space_is_refused_with_the_allowed_values():
    with pytest.raises(ConfigError, match=r"patch_size is 5; allowed are \(4, 7\)"):
        FASHION_MNIST_SPACE.at(5, 0.5)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"rank_ratio": 0.9}, (0.9,)),
        ({"rank_ratio": 1}, (1.0,)),
        ({"rank_ratio": np.float32([0.7, 0.9])}, (0.7, 0.9)),
        ({"depth": range(2, 5)}, (2, 3, 4)),
        ({"depth": np.int64(3)}, (3,)),
        ({"embed_dim": np.array([64, 96])}, (64, 96)),
        ({"embed_dim": [64, np.uint8(96)]}, (64, 96)),
        ({"mlp_ratio": (2, 3)}, (2.0, 3.0)),
        ({"mlp_ratio": (2, 2.5)}, (2.0, 2.5)),
        ({"num_heads": 2}, (2,)),
        ({"head_dim": 32}, (32,)),
        ({"patch_size": (np.int32(16), 20)}, (16, 20)),
    ],
    ids=str,
)
def test_factor_takes_ranges_arrays_single_values_and_numbers_of_any_type(given, kept):
    ((field, _),) = given.items()
    space = SearchSpace(**given)
    assert getattr(space, field) == kept
    assert {type(value) for value in getattr(space, field)} == {type(kept[0])}
    assert space == SearchSpace(**{field: kept})
    assert space.contains(space.sample(np.random.default_rng(0)))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SearchSpace)])
@pytest.mark.parametrize(
    "value",
    [None, "4", b"4", -1, 0, -0.5, math.nan, math.inf, (), [[1], [2]], {}, np.zeros((2, 2)),
     (2, 2.0), (None,), ("1", "2"), (True,)],
    ids=repr,
)  # fmt: skip
def test_what_no_field_can_be_is_refused_by_its_name(field, value):
    with pytest.raises(ConfigError, match=f"{field} is"):
        SearchSpace(**{field: value})


def test_depth_beyond_reason_is_refused_before_its_blocks_are_listed():
    with pytest.raises(ConfigError, match="depth is 1000000000; it must be at most 1,000"):
        SearchSpace(depth=10**9)


BOTH_STEMS = dataclasses.replace(
    FASHION_MNIST_SPACE, patch_size=(4, 8), stem=("patch", "conv")
)  # fmt: skip


@given(seeds)
def test_networks_of_both_stems_are_drawn_and_mutants_stay_in_their_supernet(rng):
    one, other = BOTH_STEMS.sample(rng), BOTH_STEMS.sample(rng)
    part = BOTH_STEMS.at(one.patch_size, one.rank_ratio, stem=one.stem)
    assert part.contains(one)
    assert part.contains(BOTH_STEMS.mutate(one, rng))
    assert BOTH_STEMS.contains(BOTH_STEMS.crossover(one, other, rng))


def test_stem_is_a_factor_of_the_space():
    rng = np.random.default_rng(0)
    assert {BOTH_STEMS.sample(rng).stem for _ in range(20)} == {"patch", "conv"}
    one_stem = dataclasses.replace(BOTH_STEMS, stem="patch")
    assert BOTH_STEMS.num_subnets() == 2 * one_stem.num_subnets()
    pairs = BOTH_STEMS.pairs()
    assert len(set(pairs)) == 2 * len(one_stem.pairs())
    assert all(len(pair.stem) == 1 for pair in pairs)
    assert (BOTH_STEMS.smallest().stem, BOTH_STEMS.largest().stem) == ("patch", "conv")
    assert dataclasses.replace(BOTH_STEMS, stem=["conv", "patch"]) == BOTH_STEMS
    assert not one_stem.contains(BOTH_STEMS.largest())


def test_one_of_several_stems_must_be_named():
    with pytest.raises(ConfigError, match=r"stem is None; allowed are \('patch', 'conv'\)"):
        BOTH_STEMS.at(4, 0.5)
    with pytest.raises(ConfigError, match=r"stem is 'conv'; allowed are \('patch',\)"):
        FASHION_MNIST_SPACE.at(4, 0.5, stem="conv")


def test_space_of_a_patch_that_no_convolutional_stem_has_is_refused():
    for patches, stem in (((4, 7), "conv"), ((7,), ("patch", "conv"))):
        with pytest.raises(ConfigError, match=r"patch_size is 7; with the convolutional stem"):
            dataclasses.replace(FASHION_MNIST_SPACE, patch_size=patches, stem=stem)
    with pytest.raises(ConfigError, match=r"stem is \('conv', 'conv'\); each .* once"):
        dataclasses.replace(BOTH_STEMS, stem=("conv", "conv"))


SOME_STEMS = dataclasses.replace(BOTH_STEMS, patch_size=(2, 4, 7))


@given(seeds)
def test_patches_that_a_stem_does_not_take_have_the_other_one_alone(rng):
    network = SOME_STEMS.sample(rng)
    assert SOME_STEMS.contains(network)
    assert network.stem == "patch" or network.patch_size == 4
    encoded = EncodedSubnets.sample(SOME_STEMS, 20, rng)
    for index in range(20):
        assert SOME_STEMS.contains(encoded.decode(SOME_STEMS, index))


def test_pairs_of_a_stem_are_those_that_it_takes():
    ranks = len(SOME_STEMS.rank_ratio)
    pairs = SOME_STEMS.pairs()
    assert len(pairs) == (3 + 1) * ranks
    assert {pair.patch_size for pair in pairs if pair.stem == ("conv",)} == {(4,)}
    one = dataclasses.replace(SOME_STEMS, stem="patch")
    assert SOME_STEMS.num_subnets() * 3 == one.num_subnets() * 4
    assert SOME_STEMS.at(7, 0.5) == one.at(7, 0.5), "the only stem of such patches"
    with pytest.raises(ConfigError, match=r"stem is 'conv'; allowed are \('patch',\)"):
        SOME_STEMS.at(7, 0.5, stem="conv")
    assert (SOME_STEMS.smallest().stem, SOME_STEMS.largest().stem) == ("patch", "patch")


@pytest.mark.parametrize("kib", [16, 32, 64, 128])
def test_each_size_of_arena_binds_in_the_wide_space(kib):
    space = FASHION_MNIST_WIDE_SPACE
    assert arena_bytes(space.smallest()) < 4 * 1024
    assert arena_bytes(space.largest()) > kib * 1024
    rng = np.random.default_rng(0)
    arenas = [arena_bytes(space.sample(rng)) for _ in range(100)]
    # Next to none needs all of 128 KiB; of the others each is too little for a share of all.
    assert np.mean(np.asarray(arenas) > min(kib, 64) * 1024) > 0.03


def test_wide_space_has_20_pairs_of_patch_and_rank_with_either_stem():
    pairs = FASHION_MNIST_WIDE_SPACE.pairs()
    for stem in ("patch", "conv"):
        assert sum(pair.stem == (stem,) for pair in pairs) >= 20


def test_with_one_stem_the_same_networks_are_drawn_whichever_it_is():
    patch, conv = (dataclasses.replace(BOTH_STEMS, stem=stem) for stem in ("patch", "conv"))
    drawn = []
    for space in (patch, conv):
        rng = np.random.default_rng(3)
        networks = [space.sample(rng) for _ in range(5)]
        drawn.append([dataclasses.replace(network, stem="patch") for network in networks])
    assert drawn[0] == drawn[1]


def test_description_of_a_space_of_patches_is_as_it_was_before_there_was_another_stem():
    assert "stem" not in FASHION_MNIST_SPACE.to_dict()
    assert SearchSpace(**BOTH_STEMS.to_dict()) == BOTH_STEMS


HEAD_DIMS = dataclasses.replace(FASHION_MNIST_SPACE, num_heads=(4, 8), head_dim=(4, 8, 16))


@given(seeds)
def test_networks_of_all_widths_of_a_head_are_drawn_and_redrawn_within_a_supernet(rng):
    one, other = (HEAD_DIMS.at(4, 0.5).sample(rng) for _ in "ab")
    part = HEAD_DIMS.at(4, 0.5)
    for network in (one, part.mutate(one, rng), part.crossover(one, other, rng)):
        assert part.contains(network)
    children = {part.crossover(one, other, rng).head_dim for _ in range(20)}
    assert children == {one.head_dim, other.head_dim}
    assert all(part.contains(smaller) for smaller in part.smaller(one))
    narrow = dataclasses.replace(one, head_dim=5)
    assert not HEAD_DIMS.contains(narrow)


def test_width_of_a_head_is_a_factor_of_a_network():
    rng = np.random.default_rng(0)
    drawn = [HEAD_DIMS.sample(rng) for _ in range(30)]
    assert {network.head_dim for network in drawn} == {4, 8, 16}
    one = dataclasses.replace(HEAD_DIMS, head_dim=16)
    assert HEAD_DIMS.num_subnets() == 3 * one.num_subnets()
    assert HEAD_DIMS.pairs()[0].head_dim == HEAD_DIMS.head_dim, "all in one supernet"
    assert (HEAD_DIMS.smallest().head_dim, HEAD_DIMS.largest().head_dim) == (4, 16)
    mutants = [HEAD_DIMS.mutate(drawn[0], rng).head_dim for _ in range(60)]
    assert 0.5 < np.mean(np.equal(mutants, drawn[0].head_dim)) < 1
    assert set(mutants) == {4, 8, 16}
    narrower = [network.head_dim for network in HEAD_DIMS.smaller(HEAD_DIMS.largest())]
    assert sorted(narrower) == [8, 16, 16, 16, 16]


def test_description_of_a_space_of_one_width_of_heads_is_as_it_was_before_there_were_several():
    assert FASHION_MNIST_SPACE.to_dict()["head_dim"] == 16
    assert SearchSpace(**HEAD_DIMS.to_dict()) == HEAD_DIMS
    assert SearchSpace(**FASHION_MNIST_SPACE.to_dict()) == FASHION_MNIST_SPACE
