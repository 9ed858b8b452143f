"""The cases that the fused operators' tests share meet what they say they do."""

import itertools

import padded_sizes
import pytest

# How many comparisons decide how an operator's scratch is shared or walked.
COMPARISONS = {
    "mlp of low rank": 2,
    "mlp": 1,
    "attention with projections": 1,
    "attention of low rank": 2,
    "fully connected": 1,
    "fully connected of low rank": 1,
    "patch embedding": 1,
    "convolutional stem": 1,
}


@pytest.mark.parametrize("name", padded_sizes.OPERATORS)
def test_cases_meet_each_remainder_with_each_width_of_weights_and_each_side(name):
    operator = padded_sizes.OPERATORS[name]
    met = {}
    for sizes in padded_sizes.cases(name):
        assert operator.valid(sizes)
        sides = [difference > 0 for difference in operator.differences(sizes) if difference != 0]
        options = [getattr(sizes, option) for option in operator.options]
        for size, values in operator.padded(sizes).items():
            met.setdefault(size, set()).update((v % 8, *options, *sides) for v in values)
    options = [operator.drawn[option] for option in operator.options]
    sides = [(False, True)] * COMPARISONS.get(name, 0)
    every = set(itertools.product(range(8), *options, *sides))
    for size, found in met.items():
        assert every <= found, size
