import numpy as np
import one_op_model
import pytest
from drawn import int8, int16, multipliers, seeds, zero_points
from hypothesis import given, settings
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin

from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.token_pool import MAX_SIZE, token_pool
from mcuformer_tflm.emulator.machine import Buffer, Struct

NAME = "McuformerTokenPool"
DRAWS = {"int8": int8, "int16": int16}
KERNELS = {"int8": "mcuformer::TokenPool<signed char>", "int16": "mcuformer::TokenPool<short>"}
dtypes = st.sampled_from(["int8", "int16"])
# Rows and columns of windows, and a window's side.
grids = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4))
widths = st.integers(1, 20)


@settings(max_examples=15)
@given(seeds, grids, widths, dtypes, zero_points, zero_points, st.booleans())
def test_tflm_equals_twin_and_the_float64_mean_of_each_window(
    rng, grid, width, dtype, zero_point, output_zero_point, in_place
):
    rows, columns, size = grid
    if dtype == "int16":
        zero_point = output_zero_point = 0
    x = DRAWS[dtype](rng, 1, rows * columns * size**2, width)
    multiplier, shift = quantize_multiplier(0.7 / size**2)
    options = {
        "columns": columns * size, "size": size, "input_zero_point": zero_point,
        "output_zero_point": output_zero_point, "multiplier": multiplier, "shift": shift,
    }  # fmt: skip
    model = one_op_model.build(NAME, [x], [], (1, rows * columns, width), options, dtype)
    # Our plan lays the output over the input.
    run = one_op_model.run_in_used_arena if in_place else one_op_model.run_model
    found = run(model, [x])[0]
    np.testing.assert_array_equal(found, token_pool(x[0], **options))
    pixels = x.reshape(rows * size, columns * size, width).astype(np.float64) - zero_point
    limits = np.iinfo(dtype)
    for i, j in np.ndindex(rows, columns):
        window = pixels[i * size : (i + 1) * size, j * size : (j + 1) * size]
        wanted = window.mean((0, 1)) * 0.7 + output_zero_point
        error = found[i * columns + j] - np.clip(wanted, limits.min, limits.max)
        # Half a unit for each of the two roundings of the fixed-point product.
        assert np.abs(error).max() <= 1


@settings(max_examples=15)
@given(
    seeds, grids, widths, dtypes, zero_points, zero_points, multipliers, st.integers(-12, 3),
    st.integers(0, 3),
)  # fmt: skip
def test_cortex_m_equals_twin_over_its_input(
    rng, grid, width, dtype, zero_point, output_zero_point, multiplier, shift, offset
):
    rows, columns, size = grid
    x = DRAWS[dtype](rng, rows * columns * size**2, width)
    factors = (zero_point, output_zero_point, multiplier, shift)
    wanted = token_pool(x, columns * size, size, *factors)
    params = Struct((rows, columns, size, width, *factors))
    output = Buffer(np.zeros_like(wanted))
    assert_equals_twin(wanted, KERNELS[dtype], params, x, output)
    shared = Buffer(x, offset if dtype == "int8" else 0)
    whole = x.reshape(-1).copy()
    whole[: wanted.size] = wanted.reshape(-1)
    assert_equals_twin(whole.reshape(x.shape), KERNELS[dtype], params, shared, shared)


@pytest.mark.parametrize("dtype", DRAWS)
def test_sums_of_the_largest_window_are_exact(dtype):
    x = np.full((MAX_SIZE**2, 5), np.iinfo(dtype).min, dtype)
    factors = (127, 0, *quantize_multiplier(0.5 / MAX_SIZE**2))
    wanted = token_pool(x, MAX_SIZE, MAX_SIZE, *factors)
    params, output = Struct((1, 1, MAX_SIZE, 5, *factors)), Buffer(np.zeros_like(wanted))
    assert_equals_twin(wanted, KERNELS[dtype], params, x, output)


@pytest.mark.parametrize("dtype", DRAWS)
def test_vectors_equal_the_twin_whatever_is_left_over(dtype):
    rng = np.random.default_rng(0)
    for width in range(1, 18):
        x, factors = DRAWS[dtype](rng, 12, width), (17, -9, 2**30 + 12345, -1)
        wanted = token_pool(x, 6, 2, *factors)
        assert_vectors_equal_twin(
            wanted, KERNELS[dtype], Struct((1, 3, 2, width, *factors)), x,
            Buffer(np.zeros_like(wanted)), size=width,
        )  # fmt: skip


GOOD = {
    "columns": 4, "size": 2, "input_zero_point": 1, "output_zero_point": 2, "multiplier": 2**30,
    "shift": -3,
}  # fmt: skip
TOKENS = np.zeros((1, 8, 8), np.int8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": TOKENS.astype(np.int32)}, "input is int32 (type 2); allowed: int8 int16"),
        ({"options": {}}, "option size is missing"),
        ({"options": GOOD | {"size": 1}}, "option size is 1; allowed: 2 to 16"),
        ({"options": GOOD | {"size": 17}}, "option size is 17; allowed: 2 to 16"),
        ({"options": GOOD | {"columns": 0}}, "option columns is 0; allowed: 1 to 32768"),
        ({"options": GOOD | {"columns": 3}}, "8 tokens in rows of 3 are no grid of windows of 2"),
        ({"options": GOOD | {"columns": 8}}, "8 tokens in rows of 8 are no grid of windows of 2"),
        ({"shape": (1, 3, 8)}, "output has rows 3; allowed: 2 to 2"),
        ({"shape": (1, 2, 4)}, "output has width 4; allowed: 8 to 8"),
        ({"dtype": "int16"}, "output is int16 (type 7); allowed: int8"),
        ({"options": GOOD | {"output_zero_point": -129}}, "option output_zero_point is -129; all"),
        ({"options": GOOD | {"shift": 32}}, "option shift is 32; allowed: -31 to 31"),
    ],
)
def test_prepare_rejects_with_a_named_reason(change, reason):
    said = one_op_model.rejection(
        NAME, [change.get("x", TOKENS)], [], change.get("shape", (1, 2, 8)),
        change.get("options", GOOD), change.get("dtype", "int8"),
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said
