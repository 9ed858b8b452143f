import math

import numpy as np
import one_op_model
import pytest
from drawn import int8, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.gelu import gelu, gelu_table


@given(seeds, st.integers(1, 20), st.integers(1, 70), zero_points)
def test_tflm_equals_twin_for_any_shape(rng, tokens, width, zero_point):
    x = int8(rng, 1, tokens, width)
    table = gelu_table(0.05, zero_point, 0.03, -100)
    found = one_op_model.run("McuformerGelu", [x], [table], x.shape, {})
    np.testing.assert_array_equal(found, gelu(x, table))


@pytest.mark.parametrize("value", [-128, -60, -1, 0, 1, 33, 127])
def test_table_is_x_times_sigmoid_to_half_a_unit(value):
    real = (value - 4) * 0.04
    wanted = real / (1 + math.exp(-1.702 * real)) / 0.03 - 90
    found = int(gelu(np.array([value], np.int8), gelu_table(0.04, 4, 0.03, -90))[0])
    assert abs(found - min(max(wanted, -128), 127)) <= 0.5
