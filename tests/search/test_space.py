import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

seeds = st.integers(0, 10**6).map(np.random.default_rng)


@given(seeds, st.sampled_from([SearchSpace(), FASHION_MNIST_SPACE]))
def test_samples_mutants_and_children_stay_inside_the_space(rng, space):
    one, other = space.sample(rng), space.sample(rng)
    for network in (one, space.mutate(one, rng), space.crossover(one, other, rng)):
        assert space.contains(network)


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
