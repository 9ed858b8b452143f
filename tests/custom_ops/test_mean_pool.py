import numpy as np
import one_op_model
import pytest
from drawn import int8, multipliers, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin

from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.mean_pool import mean_pool
from mcuformer_tflm.emulator.machine import Buffer, Struct

NAME = "McuformerMeanPool"


@given(seeds, st.integers(1, 60), st.integers(1, 70), zero_points, zero_points)
def test_tflm_equals_twin_and_float64_mean(rng, tokens, width, zero_point, output_zero_point):
    x = int8(rng, 1, tokens, width)
    multiplier, shift = quantize_multiplier(0.7 / tokens)
    options = {
        "input_zero_point": zero_point,
        "output_zero_point": output_zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    found = one_op_model.run(NAME, [x], [], (1, width), options)
    np.testing.assert_array_equal(found, mean_pool(x[0], **options))
    wanted = (x[0].astype(np.float64) - zero_point).mean(0) * 0.7 + output_zero_point
    # Half a unit for each of the two roundings of the fixed-point product.
    assert np.abs(found[0] - np.clip(wanted, -128, 127)).max() <= 1


@given(
    seeds, st.integers(1, 60), st.integers(1, 30), zero_points, zero_points, multipliers,
    st.integers(-12, 3), st.integers(0, 3),
)  # fmt: skip
def test_cortex_m_equals_twin_over_its_input(
    rng, tokens, width, zero_point, output_zero_point, multiplier, shift, offset
):
    x = int8(rng, tokens, width)
    wanted = mean_pool(x, zero_point, output_zero_point, multiplier, shift)
    params = Struct((tokens, width, zero_point, output_zero_point, multiplier, shift))
    output = Buffer(np.zeros(width, np.int8))
    assert_equals_twin(wanted, "mcuformer::MeanPool", params, x, output)
    shared = Buffer(x, offset)
    padded = x.copy()
    padded[0] = wanted
    assert_equals_twin(padded, "mcuformer::MeanPool", params, shared, shared)


@pytest.mark.parametrize("tokens", [255, 256, 257, 700])
@pytest.mark.parametrize("value", [-128, 127])
def test_sums_beyond_16_bits_are_exact(tokens, value):
    x = np.full((tokens, 9), value, np.int8)
    multiplier, shift = quantize_multiplier(0.5 / tokens)
    wanted = mean_pool(x, 0, 0, multiplier, shift)
    params, output = Struct((tokens, 9, 0, 0, multiplier, shift)), Buffer(np.zeros(9, np.int8))
    assert_equals_twin(wanted, "mcuformer::MeanPool", params, x, output)


@pytest.mark.parametrize("shift", [-3, 0, 4])
def test_vectors_equal_the_twin_whatever_is_left_over(shift):
    rng = np.random.default_rng(0)
    for width in range(1, 18):
        x, factors = int8(rng, 5, width), (17, -9, 2**30 + 12345, shift)
        assert_vectors_equal_twin(
            mean_pool(x, *factors)[0], "mcuformer::MeanPool", Struct((5, width, *factors)), x,
            Buffer(np.zeros(width, np.int8)), size=width,
        )  # fmt: skip


GOOD = {"input_zero_point": 1, "output_zero_point": 2, "multiplier": 2**30, "shift": -3}
TOKENS = np.zeros((1, 3, 8), np.int8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": TOKENS.astype(np.int16)}, "input is int16 (type 7); allowed: int8"),
        ({"x": TOKENS[:, :0]}, "the shape of input is not allowed"),
        ({"x": np.zeros((2**23 + 1, 1), np.int8), "shape": (1, 1)},
         "input has rows 8388609; allowed: 1 to 8388608"),
        ({"shape": (2, 8)}, "output has rows 2; allowed: 1 to 1"),
        ({"options": {}}, "option input_zero_point is missing"),
        ({"options": GOOD | {"output_zero_point": -129}}, "option output_zero_point is -129; all"),
        ({"options": GOOD | {"multiplier": -1}}, "option multiplier is -1; allowed: 0 to"),
        ({"options": GOOD | {"shift": 32}}, "option shift is 32; allowed: -31 to 31"),
    ],
)  # fmt: skip
def test_prepare_rejects_with_a_named_reason(change, reason):
    said = one_op_model.rejection(
        NAME, [change.get("x", TOKENS)], [], change.get("shape", (1, 8)),
        change.get("options", GOOD),
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said
