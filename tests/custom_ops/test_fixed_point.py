import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
)


@given(st.floats(1e-9, 1e6))
def test_multiplier_and_shift_give_the_factor_back(real):
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(real, rel=2**-31)


@given(st.integers(-(2**31), 2**31 - 1), st.floats(1e-6, 0.99))
def test_product_is_within_one_of_the_exact_one(x, real):
    multiplier, shift = quantize_multiplier(real)
    found = int(multiply_by_quantized_multiplier(np.array([x]), multiplier, shift)[0])
    assert abs(found - x * multiplier / 2.0 ** (31 - shift)) <= 1


def test_left_shift_saturates_instead_of_wrapping():
    found = multiply_by_quantized_multiplier(np.array([2**30, -(2**30)]), 2**31 - 1, 4)
    np.testing.assert_array_equal(found, [2**31 - 2, -(2**31) + 1])


@pytest.mark.parametrize(("x", "wanted"), [(5, 3), (-5, -3), (4, 2), (-6, -3), (7, 4), (0, 0)])
def test_ties_round_away_from_zero(x, wanted):
    assert rounding_divide_by_pot(np.array([x]), 1)[0] == wanted
