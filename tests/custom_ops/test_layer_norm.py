import numpy as np
import one_op_model
import pytest
from drawn import int8, int16, seeds, zero_points
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_vectors_equal_twin

from mcuformer_tflm.custom_ops.reference.layer_norm import (
    MAX_BETA,
    MAX_NORMALISED_BITS,
    fold_layer_norm,
    layer_norm,
)
from mcuformer_tflm.emulator.machine import Buffer, Struct, emulated_machine

NAME = "McuformerLayerNorm"
KERNELS = {
    "int8": "mcuformer::LayerNorm<signed char>",
    "int16": "mcuformer::LayerNorm<short>",
}
drawn_cases = given(
    rng=seeds, tokens=st.integers(1, 20), width=st.integers(1, 130),
    draw=st.sampled_from([int8, int16]), iterations=st.integers(0, 5),
    epsilon=st.sampled_from([0, 1, 10**6, 2**31 - 1]), narrow=st.integers(0, 8),
    normalised_bits=st.integers(0, MAX_NORMALISED_BITS),
)  # fmt: skip


def drawn_operands(rng, tokens, width, draw, narrow):
    # Shifted right, so that variances of every size occur, zero included.
    x = draw(rng, tokens, width) >> narrow
    beta = rng.integers(-MAX_BETA, MAX_BETA, width, dtype=np.int32) >> rng.integers(0, 20, width)
    return x, int16(rng, width), beta.astype(np.int32)


def on_cortex_m(core, x, gamma, beta, normalised_bits, epsilon, iterations, tokens=None):
    tokens, width = tokens or len(x), x.shape[-1]
    output = Buffer(np.zeros((tokens, width), np.int8))
    params = Struct((width, epsilon, iterations, normalised_bits))
    machine = emulated_machine(core)
    machine.call(KERNELS[str(x.dtype)], params, tokens, x, gamma, beta, output)
    return output.data


@drawn_cases
def test_tflm_equals_twin_for_any_shape(
    rng, tokens, width, draw, iterations, epsilon, narrow, normalised_bits
):
    x, gamma, beta = drawn_operands(rng, tokens, width, draw, narrow)
    options = {
        "normalised_bits": normalised_bits, "epsilon": epsilon, "iterations": iterations,
    }  # fmt: skip
    found = one_op_model.run(NAME, [x[None]], [gamma, beta], (1, tokens, width), options)
    np.testing.assert_array_equal(found[0], layer_norm(x, gamma, beta, **options))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m55"])
@drawn_cases
def test_cortex_m_equals_twin_for_any_shape(
    core, rng, tokens, width, draw, iterations, epsilon, narrow, normalised_bits
):
    operands = drawn_operands(rng, tokens, width, draw, narrow)
    found = on_cortex_m(core, *operands, normalised_bits, epsilon, iterations)
    np.testing.assert_array_equal(
        found, layer_norm(*operands, normalised_bits, epsilon, iterations)
    )


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("width", [1, 2, 1023, 1024])
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_extreme_tokens_do_not_overflow(core, dtype, width):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    alternating = np.where(np.arange(width) % 2 == 0, low, high)
    single = np.where(np.arange(width) == 0, low, high)
    x = np.stack([alternating, single, np.full(width, low), np.full(width, high)]).astype(dtype)
    gamma = np.full(width, -(2**15), np.int16)
    beta = np.where(np.arange(width) % 2 == 0, MAX_BETA, -MAX_BETA).astype(np.int32)
    for normalised_bits in (0, MAX_NORMALISED_BITS):
        for iterations in (0, 3):
            arguments = (x, gamma, beta, normalised_bits, 2**31 - 1, iterations)
            np.testing.assert_array_equal(on_cortex_m(core, *arguments), layer_norm(*arguments))


@given(seeds, st.integers(1, 9), st.integers(1, 40), st.integers(0, 5))
def test_fewer_output_rows_read_the_leading_ones(rng, tokens, width, dropped):
    x, gamma, beta = drawn_operands(rng, tokens + dropped, width, int8, 0)
    options = {"normalised_bits": 15, "epsilon": 0, "iterations": 4}
    found = one_op_model.run(NAME, [x[None]], [gamma, beta], (1, tokens, width), options)
    np.testing.assert_array_equal(found[0], layer_norm(x[:tokens], gamma, beta, **options))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
@pytest.mark.parametrize("width", [13, 40])
def test_output_may_start_where_the_input_starts(core, dtype, width):
    rng, tokens = np.random.default_rng(5), 7
    x, gamma, beta = drawn_operands(rng, tokens, width, int16, 8)
    x = x.astype(dtype)
    shared = Buffer(x)
    params = Struct((width, 3, 4, 15))
    emulated_machine(core).call(KERNELS[str(x.dtype)], params, tokens, shared, gamma, beta, shared)
    found = shared.data.view(np.int8).reshape(-1)[: x.size].reshape(x.shape)
    np.testing.assert_array_equal(found, layer_norm(x, gamma, beta, 15, 3, 4))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_vectors_equal_the_twin_whatever_is_left_over(dtype):
    rng = np.random.default_rng(0)
    for width in [*range(1, 34), 63, 64, 65, 127, 128]:
        tokens = 1 + width % 3
        x, gamma, beta = drawn_operands(rng, tokens, width, int16, 8)
        x = x.astype(dtype)
        assert_vectors_equal_twin(
            layer_norm(x, gamma, beta, 15, 3, 4), KERNELS[str(x.dtype)], Struct((width, 3, 4, 15)),
            tokens, x, gamma, beta, Buffer(np.zeros(x.shape, np.int8)), size=width,
        )  # fmt: skip


@pytest.mark.parametrize(("iterations", "limit"), [(4, 0.51), (0, 0.51), (3, 0.56)])
@pytest.mark.parametrize("spread", [0.6, 25])
@pytest.mark.parametrize("width", [1, 31, 48, 192, 1024])
@given(zero_point=zero_points)
def test_error_against_float64_stays_within_rounding(width, spread, iterations, limit, zero_point):
    rng = np.random.default_rng(width)
    x = np.clip(rng.normal(7, spread, (64, width)), -128, 127).round().astype(np.int8)
    gamma, beta = rng.uniform(-1.5, 1.5, width), rng.uniform(-0.5, 0.5, width)
    scale = 8 / 255
    folded = fold_layer_norm(gamma, beta, scale, zero_point)
    found = layer_norm(x, *folded, iterations=iterations)
    real = x.astype(np.float64)
    deviation = real.std(-1, keepdims=True)
    normalised = (real - real.mean(-1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    wanted = np.clip((normalised * gamma + beta) / scale + zero_point, -128, 127)
    # Half a unit of rounding; the rest is a root of 16 bits.
    assert np.abs(found - wanted).max() <= limit


def test_input_of_one_value_gives_beta():
    x = np.full((2, 8), 55, np.int8)
    folded = fold_layer_norm(np.ones(8), np.arange(8.0), 1.0, -3)
    np.testing.assert_array_equal(layer_norm(x, *folded), np.broadcast_to(np.arange(8) - 3, (2, 8)))


@given(st.floats(1e-5, 1e5), st.floats(1e-4, 1e2))
def test_greatest_gain_uses_all_bits_it_can(gamma, scale):
    fixed, _, normalised_bits = fold_layer_norm(np.array([gamma]), np.zeros(1), scale, 0)
    if 0 < normalised_bits < MAX_NORMALISED_BITS:
        assert 2**14 <= fixed[0] < 2**15


GOOD = {"normalised_bits": 15, "epsilon": 1, "iterations": 4}
TOKENS = np.zeros((1, 3, 8), np.int8)
GAMMA, BETA = np.ones(8, np.int16), np.ones(8, np.int32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": TOKENS.astype(np.int32)}, "input is int32 (type 2); allowed: int8 int16"),
        ({"x": TOKENS[:, :, :0]}, "the shape of input is not allowed"),
        ({"x": np.zeros((1, 1, 1025), np.int8)}, "input has width 1025; allowed: 1 to 1024"),
        ({"shape": (1, 4, 8)}, "output has rows 4; allowed: 1 to 3"),
        ({"shape": (1, 3, 9)}, "output has width 9; allowed: 8 to 8"),
        ({"dtype": "int16"}, "output is int16 (type 7); allowed: int8"),
        ({"constants": [BETA, BETA]}, "gamma is int32 (type 2); allowed: int16"),
        ({"constants": [GAMMA[:7], BETA]}, "gamma has 7 elements; needed: 8"),
        ({"constants": [GAMMA, BETA * (MAX_BETA + 1)]}, "beta holds a value beyond 2^30"),
        ({"constants": [GAMMA, -BETA * (MAX_BETA + 1)]}, "beta holds a value beyond 2^30"),
        ({"constants": [GAMMA]}, "beta is missing"),
        ({"options": {"epsilon": 1, "iterations": 4}}, "option normalised_bits is missing"),
        ({"options": GOOD | {"normalised_bits": 23}}, "option normalised_bits is 23; allowed: 0"),
        ({"options": GOOD | {"epsilon": -1}}, "option epsilon is -1; allowed: 0 to 2147483647"),
        ({"options": GOOD | {"iterations": 33}}, "option iterations is 33; allowed: 0 to 32"),
    ],
)
def test_prepare_rejects_with_a_named_reason(change, reason):
    said = one_op_model.rejection(
        NAME, [change.get("x", TOKENS)], change.get("constants", [GAMMA, BETA]),
        change.get("shape", (1, 3, 8)), change.get("options", GOOD), change.get("dtype", "int8"),
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said
