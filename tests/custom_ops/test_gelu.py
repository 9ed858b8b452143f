import math

import numpy as np
import one_op_model
import pytest
from drawn import int8, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin

from mcuformer_tflm.custom_ops.reference.gelu import gelu, gelu_table
from mcuformer_tflm.emulator.machine import Buffer

NAME = "McuformerGelu"


@given(seeds, st.integers(1, 20), st.integers(1, 70), zero_points)
def test_tflm_equals_twin_for_any_shape(rng, tokens, width, zero_point):
    x = int8(rng, 1, tokens, width)
    table = gelu_table(0.05, zero_point, 0.03, -100)
    found = one_op_model.run(NAME, [x], [table], x.shape, {})
    np.testing.assert_array_equal(found, gelu(x, table))


@given(seeds, st.integers(1, 300), zero_points, st.integers(0, 3))
def test_cortex_m_equals_twin_in_place(rng, size, zero_point, offset):
    x, table = int8(rng, size), gelu_table(0.05, zero_point, 0.03, -100)
    in_place = Buffer(x, offset)
    assert_equals_twin(gelu(x, table), "mcuformer::Gelu", size, in_place, table, in_place)


def test_vectors_equal_the_twin_whatever_is_left_over():
    rng = np.random.default_rng(0)
    for size in range(1, 34):
        x, table, y = int8(rng, size), int8(rng, 256), Buffer(np.zeros(size, np.int8))
        assert_vectors_equal_twin(gelu(x, table), "mcuformer::Gelu", size, x, table, y, size=size)


@pytest.mark.parametrize("value", [-128, -60, -1, 0, 1, 33, 127])
def test_table_is_x_times_sigmoid_to_half_a_unit(value):
    real = (value - 4) * 0.04
    wanted = real / (1 + math.exp(-1.702 * real)) / 0.03 - 90
    found = int(gelu(np.array([value], np.int8), gelu_table(0.04, 4, 0.03, -90))[0])
    assert abs(found - min(max(wanted, -128), 127)) <= 0.5


TABLE = gelu_table(0.05, 0, 0.03, 0)
TOKENS = np.zeros((1, 3, 8), np.int8)


@pytest.mark.parametrize(
    ("x", "constants", "shape", "reason"),
    [
        (TOKENS.astype(np.int16), [TABLE], (1, 3, 8), "input is int16 (type 7); allowed: int8"),
        (TOKENS[:, :0], [TABLE], (1, 3, 8), "the shape of input is not allowed"),
        (TOKENS, [TABLE], (1, 2, 8), "output has rows 2; allowed: 3 to 3"),
        (TOKENS, [], (1, 3, 8), "table is missing"),
        (TOKENS, [TABLE[1:]], (1, 3, 8), "table has 255 elements; needed: 256"),
        (TOKENS, [TABLE.astype(np.int32)], (1, 3, 8), "table is int32 (type 2); allowed: int8"),
    ],
)
def test_prepare_rejects_with_a_named_reason(x, constants, shape, reason):
    assert f"{NAME}: {reason}" in one_op_model.rejection(NAME, [x], constants, shape, {})
