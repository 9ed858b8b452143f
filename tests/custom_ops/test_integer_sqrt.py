import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.integer_sqrt import integer_sqrt


@given(st.integers(1, 2**32 - 1))
def test_until_fixed_gives_the_floor_of_the_root(n):
    assert integer_sqrt(np.array([n]), 0)[0] == math.isqrt(n)


@given(st.integers(2**30, 2**32 - 1))
def test_four_iterations_are_within_one_for_a_normalised_variance(n):
    assert 0 <= integer_sqrt(np.array([n]), 4)[0] - math.isqrt(n) <= 1


@given(st.integers(2**30, 2**32 - 1))
def test_three_iterations_are_within_a_thousandth_for_a_normalised_variance(n):
    root = math.isqrt(n)
    assert 0 <= integer_sqrt(np.array([n]), 3)[0] - root <= 1 + root / 1000
