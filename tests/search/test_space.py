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
