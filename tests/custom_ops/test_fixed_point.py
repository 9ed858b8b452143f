import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
from drawn import multipliers, zero_points
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import BUILDS, builds

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
)
from mcuformer_tflm.emulator.machine import Buffer, Machine
from mcuformer_tflm.emulator.toolchain import build_kernels


@given(st.floats(1e-9, 1e6))
def test_multiplier_and_shift_give_the_factor_back(real):
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(real, rel=2**-31)


@given(st.integers(1, 2**31 - 1), st.floats(2.0**31, 1e30))
def test_greater_factors_than_a_shift_can_say_saturate(x, real):
    multiplier, shift = quantize_multiplier(real)
    assert (multiplier, shift) == (2**31 - 1, 31) or real < 2.0**31 + 1
    # Also with the 8 fractional bits of a residual taken out, beyond what 16 bits hold.
    below, nothing, above = multiply_by_quantized_multiplier(
        np.array([-x, 0, x]), multiplier, shift
    )
    assert below >> 8 < -(2**15)
    assert nothing == 0
    assert above >> 8 >= 2**15


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


PROBE = Path(__file__).parent / "fixed_point_probe.cc"
edges = [0, 1, -1, 2**30, -(2**30), 2**31 - 1, -(2**31), 2**31 - 2, -(2**31) + 1]
sums = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20).map(
    lambda drawn: np.array([*edges, *drawn], np.int32)
)


@functools.cache
def probe(build):
    core, portable = BUILDS[build]
    return Machine(core, build_kernels(core, portable, (PROBE,)))


def rescaled_by(build, function, sums, multiplier, shift, zero_point):
    results = Buffer(np.zeros((len(sums), 3), np.int32))
    probe(build).call(
        f"mcuformer::{function}", sums, len(sums), multiplier, shift, zero_point, results
    )
    return results.data


def rescaled_by_twin(sums, multiplier, shift, zero_point):
    wanted = multiply_by_quantized_multiplier(sums, multiplier, shift)
    shifted = wanted + zero_point
    return np.stack([wanted, shifted.clip(-128, 127), shifted.clip(-(2**15), 2**15 - 1)], -1)


@builds
@given(sums, st.integers(0, 2**31 - 1), st.integers(-31, 31), zero_points)
def test_kernels_rescale_any_sum_by_any_factor_as_the_twin(
    build, sums, multiplier, shift, zero_point
):
    found = rescaled_by(build, "ProbeAnyRescale", sums, multiplier, shift, zero_point)
    np.testing.assert_array_equal(found, rescaled_by_twin(sums, multiplier, shift, zero_point))


@builds
@given(sums, multipliers, st.integers(-31, -1), zero_points)
def test_the_short_way_down_gives_the_same_for_every_sum(
    build, sums, multiplier, shift, zero_point
):
    found = rescaled_by(build, "ProbeRescaleDown", sums, multiplier, shift, zero_point)
    np.testing.assert_array_equal(found, rescaled_by_twin(sums, multiplier, shift, zero_point))


@builds
def test_residuals_of_the_greatest_differences_join_sums_as_in_the_twin(build):
    # Of 8 fractional bits, 128 and 384 are ties.
    joining = [*edges, 128, -128, 384, -384]
    residuals = np.repeat(np.array([-(2**15), -1, 0, 2**15 - 1], np.int16), len(joining))
    sums = np.tile(np.array(joining, np.int32), 4)
    # Up to a shift of 13 a difference of 17 bits stays within 32; from 15 on it does not.
    for shift, multiplier, residual_zero_point in itertools.product(
        (-31, -1, 0, 13, 14, 15, 16, 31), (2**30, 2**31 - 1), (-(2**15), 0, 2**15 - 1)
    ):
        results = Buffer(np.zeros(sums.size, np.int16))
        probe(build).call(
            "mcuformer::ProbeResidualAdd", sums, residuals, sums.size, residual_zero_point,
            multiplier, shift, 3, results,
        )  # fmt: skip
        differences = residuals.astype(np.int64) - residual_zero_point
        joined = sums + multiply_by_quantized_multiplier(differences, multiplier, shift)
        wanted = rounding_divide_by_pot(joined.clip(-(2**31), 2**31 - 1), 8) + 3
        np.testing.assert_array_equal(results.data, wanted.clip(-(2**15), 2**15 - 1))


@builds
@given(st.integers(0, 2**31 - 1), st.integers(-31, 31))
def test_the_short_way_serves_normalised_factors_below_one(build, multiplier, shift):
    sums = np.array([2**30], np.int32)
    found = rescaled_by(build, "ProbeRescaleDown", sums, multiplier, shift, 1)
    assert bool(found.any()) == (shift < 0 and multiplier >= 2**30)
