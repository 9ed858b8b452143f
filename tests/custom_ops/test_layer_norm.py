import numpy as np
import one_op_model
import pytest
from drawn import int8, int16, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.layer_norm import layer_norm


@given(
    seeds, st.integers(1, 20), st.integers(1, 130), st.sampled_from([int8, int16]), zero_points,
    st.integers(0, 5), st.sampled_from([0, 1, 10**6, 2**31 - 1]), st.integers(0, 8),
)  # fmt: skip
def test_tflm_equals_twin_for_any_shape(
    rng, tokens, width, draw, zero_point, iterations, epsilon, narrow
):
    # Shifted right, so that variances of every size occur, zero included.
    x = draw(rng, 1, tokens, width) >> narrow
    gamma, beta = int16(rng, width), rng.integers(-(2**30), 2**30, width, dtype=np.int32)
    options = {
        "multiplier": int(rng.integers(2**30, 2**31)),
        "shift": int(rng.integers(-22, -14)),
        "output_zero_point": zero_point,
        "epsilon": epsilon,
        "iterations": iterations,
    }
    found = one_op_model.run("McuformerLayerNorm", [x], [gamma, beta], x.shape, options)
    np.testing.assert_array_equal(found[0], layer_norm(x[0], gamma, beta, **options))


@pytest.mark.parametrize(("iterations", "limit"), [(4, 0.56), (0, 0.56), (3, 0.62)])
@pytest.mark.parametrize("width", [1, 31, 48, 192, 1024])
def test_error_against_float64_stays_within_rounding(width, iterations, limit):
    rng = np.random.default_rng(width)
    x = np.clip(rng.normal(7, 25, (64, width)), -128, 127).round().astype(np.int8)
    gamma, beta = rng.uniform(0.3, 1.5, width), rng.uniform(-0.5, 0.5, width)
    scale, gain = 8 / 255, 1.5 / (2**15 - 1)
    multiplier, shift = quantize_multiplier(gain / 1024 / scale)
    found = layer_norm(
        x, np.rint(gamma / gain).astype(np.int16), np.rint(beta / gain * 1024).astype(np.int32),
        multiplier, shift, 0, iterations=iterations,
    )  # fmt: skip
    real = x.astype(np.float64)
    spread = real.std(-1, keepdims=True)
    normalised = (real - real.mean(-1, keepdims=True)) / np.where(spread > 0, spread, 1)
    wanted = np.clip((normalised * gamma + beta) / scale, -128, 127)
    # Half a unit of rounding, the rest of a root with 16 bits and 10 fractional bits.
    assert np.abs(found - wanted).max() <= limit


def test_input_of_one_value_gives_beta():
    x = np.full((2, 8), 55, np.int8)
    multiplier, shift = quantize_multiplier(1 / 1024)
    beta = np.arange(8, dtype=np.int32) * 1024
    found = layer_norm(x, np.full(8, 999, np.int16), beta, multiplier, shift, -3)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(8) - 3, (2, 8)))
