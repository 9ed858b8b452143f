import numpy as np
import one_op_model
import pytest
from drawn import int8, seeds
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin

from mcuformer_tflm.custom_ops.reference.argmax import argmax
from mcuformer_tflm.emulator.machine import Buffer

NAME = "McuformerArgmax"
sizes = st.integers(1, 40)


@given(seeds, sizes, sizes, st.integers(0, 8))
def test_tflm_equals_twin_for_any_shape_and_ties(rng, rows, units, narrow):
    x = int8(rng, rows, units) >> narrow
    found = one_op_model.run(NAME, [x], [], (rows,), {}, "int32")
    np.testing.assert_array_equal(found, argmax(x))


@given(seeds, sizes, sizes, st.integers(0, 8))
def test_cortex_m_equals_twin_for_any_shape_and_ties(rng, rows, units, narrow):
    x = int8(rng, rows, units) >> narrow
    output = Buffer(np.zeros(rows, np.int32))
    assert_equals_twin(argmax(x), "mcuformer::Argmax", rows, units, x, output)


def test_first_of_several_greatest_wins():
    np.testing.assert_array_equal(argmax(np.array([[-128, 5, 5], [-3, -3, -3]], np.int8)), [1, 0])


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "reason"),
    [
        (np.zeros((2, 3), np.int16), (2,), "int32", "input is int16 (type 7); allowed: int8"),
        (np.zeros((2, 0), np.int8), (2,), "int32", "the shape of input is not allowed"),
        (np.zeros((2, 3), np.int8), (2,), "int8", "output is int8 (type 9); allowed: int32"),
        (np.zeros((2, 3), np.int8), (3,), "int32", "output has 3 elements; needed: 2"),
    ],
)
def test_prepare_rejects_with_a_named_reason(x, shape, dtype, reason):
    assert f"{NAME}: {reason}" in one_op_model.rejection(NAME, [x], [], shape, {}, dtype)
