import numpy as np
import one_op_model
import pytest
import tflite_builtin
from drawn import int8, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.custom_ops.reference.softmax import softmax, softmax_table
from mcuformer_tflm.emulator.machine import Buffer

NAME = "McuformerSoftmax"
scales = st.floats(1e-4, 2.0)
sizes = st.integers(1, 40)


def drawn_rows(rng, rows, width):
    # Rows of every spread, down to one value repeated.
    return int8(rng, rows, width) >> rng.integers(0, 8, (rows, 1), dtype=np.int8)


def tflite_softmax(x, scale, beta=1.0):
    options = schema.SoftmaxOptionsT()
    options.beta = beta
    return tflite_builtin.run(
        schema.BuiltinOperator.SOFTMAX, schema.BuiltinOptions.SoftmaxOptions, options,
        [(x, scale, 11)], (x.shape, "int8", 1 / 256, -128),
    )  # fmt: skip


@settings(max_examples=60)
@given(seeds, sizes, st.integers(1, 300), scales, st.sampled_from([1.0, 0.125, 3.0]))
def test_twin_equals_tflites_reference_kernel(rng, rows, width, scale, beta):
    x = drawn_rows(rng, rows, width)
    found = softmax(x, softmax_table(scale, beta))
    np.testing.assert_array_equal(found, tflite_softmax(x, scale, beta))


@pytest.mark.parametrize("width", [1, 2, 3, 255, 256, 511])
def test_equal_values_equal_tflites_reference_kernel(width):
    x = np.full((1, width), -77, np.int8)
    np.testing.assert_array_equal(softmax(x, softmax_table(0.1)), tflite_softmax(x, 0.1))


@given(seeds, sizes, sizes, scales)
def test_tflm_equals_twin_for_any_shape(rng, rows, width, scale):
    x, table = drawn_rows(rng, rows, width), softmax_table(scale)
    found = one_op_model.run(NAME, [x], [table], x.shape, {})
    np.testing.assert_array_equal(found, softmax(x, table))


@given(seeds, sizes, sizes, scales, st.integers(0, 3))
def test_cortex_m_equals_twin_for_any_shape(rng, rows, width, scale, offset):
    x, table = drawn_rows(rng, rows, width), softmax_table(scale)
    in_place = Buffer(x, offset)
    wanted = softmax(x, table)
    assert_equals_twin(wanted, "mcuformer::Softmax", rows, width, in_place, table, in_place)


def test_vectors_equal_the_twin_whatever_is_left_over():
    rng, table = np.random.default_rng(0), softmax_table(0.02)
    for width in range(1, 34):
        x, y = drawn_rows(rng, 2, width), Buffer(np.zeros((2, width), np.int8))
        assert_vectors_equal_twin(
            softmax(x, table), "mcuformer::Softmax", 2, width, x, table, y, size=width
        )


@pytest.mark.parametrize("value", [-128, 127])
def test_widest_row_keeps_its_sum(value):
    x, table = np.full((1, 2047), value, np.int8), softmax_table(0.05)
    wanted = softmax(x, table)
    np.testing.assert_array_equal(wanted, -128)  # 256 / 2047 rounds to 0
    output = Buffer(np.ones_like(x))
    assert_equals_twin(wanted, "mcuformer::Softmax", 1, 2047, x, table, output)


def test_thousands_of_sums_give_the_twins_reciprocals():
    # A step of Newton's method less changes a probability in some thousand by a unit.
    x, table = int8(np.random.default_rng(0), 6000, 3), softmax_table(0.01)
    output = Buffer(np.zeros_like(x))
    assert_equals_twin(softmax(x, table), "mcuformer::Softmax", 6000, 3, x, table, output)


def test_exponentials_too_small_to_count_do_not_count_however_many_there_are():
    # 0.4 of the sum's last bit each: all of them would be a five-hundredth of the greatest.
    x, table = np.full((12, 2047), 127 - 141, np.int8), softmax_table(0.1)
    assert 0 < table[255 - 141] < 1 << 11
    x[:, 0], x[:, 1:4] = 127, int8(np.random.default_rng(0), 12, 3) // 2 + 63
    output = Buffer(np.zeros_like(x))
    assert_equals_twin(softmax(x, table), "mcuformer::Softmax", *x.shape, x, table, output)


@given(seeds, st.integers(1, 300), scales)
def test_probabilities_are_within_a_unit_of_float64(rng, width, scale):
    x = drawn_rows(rng, 4, width)
    real = np.exp((x - x.max(-1, keepdims=True).astype(np.float64)) * scale)
    wanted = np.minimum(256 * real / real.sum(-1, keepdims=True), 255) - 128
    assert np.abs(softmax(x, softmax_table(scale)) - wanted).max() <= 0.51


@pytest.mark.parametrize("scale", [1e-9, 0.0])
def test_table_of_a_scale_too_small_is_refused(scale):
    with pytest.raises(ValueError, match="TFLite needs at least"):
        softmax_table(scale)


TABLE = softmax_table(0.1)
ROWS = np.zeros((3, 5), np.int8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": ROWS.astype(np.int16)}, "input is int16 (type 7); allowed: int8"),
        ({"x": ROWS[:0]}, "the shape of input is not allowed"),
        ({"x": np.zeros((1, 2048), np.int8)}, "input has width 2048; allowed: 1 to 2047"),
        ({"shape": (3, 4)}, "output has width 4; allowed: 5 to 5"),
        ({"constants": []}, "table is missing"),
        ({"constants": [TABLE[:255]]}, "table has 255 elements; needed: 256"),
        ({"constants": [TABLE - 1]}, "the table's last entry must be 2^31 - 1"),
        ({"constants": [np.append(TABLE[1:] * 0 - 1, 2**31 - 1).astype(np.int32)]},
         "the table holds a negative entry"),
    ],
)  # fmt: skip
def test_prepare_rejects_with_a_named_reason(change, reason):
    said = one_op_model.rejection(
        NAME, [change.get("x", ROWS)], change.get("constants", [TABLE]),
        change.get("shape", (3, 5)), {},
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said
