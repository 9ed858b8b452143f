import numpy as np
import one_op_model
import pytest
import tflite_builtin
from drawn import int8, int16, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.custom_ops.reference.add import add, add_options
from mcuformer_tflm.emulator.machine import Buffer, Struct

NAME = "McuformerAdd"
DRAWS = {"int8": int8, "int16": int16}
KERNELS = {"int8": "mcuformer::Add<signed char>", "int16": "mcuformer::Add<short>"}
sizes = st.integers(1, 40)
# Ratios beside the first scale, equal ones and powers of two among them.
ratios = st.one_of(st.sampled_from([1.0, 0.5, 2.0]), st.floats(0.01, 100.0))
dtypes = st.sampled_from(["int8", "int16"])


@st.composite
def quantizations(draw, dtype):
    """Returns (scale, zero point) of both inputs and the output."""
    scale = draw(st.floats(1e-4, 1.0))
    others = [scale * draw(ratios), scale * draw(st.floats(0.3, 100.0))]
    zero_points = st.integers(-128, 127) if dtype == "int8" else st.just(0)
    return [(float(np.float32(s)), draw(zero_points)) for s in (scale, *others)]


def options_of(quantized, dtype):
    return add_options(*(value for pair in quantized for value in pair), dtype)


@settings(max_examples=60)
@given(seeds, sizes, sizes, st.data(), dtypes)
def test_twin_equals_tflites_reference_kernel(rng, rows, width, data, dtype):
    quantized = data.draw(quantizations(dtype))
    first, second = (DRAWS[dtype](rng, rows, width) for _ in range(2))
    options = schema.AddOptionsT()
    options.potScaleInt16 = False
    wanted = tflite_builtin.run(
        schema.BuiltinOperator.ADD, schema.BuiltinOptions.AddOptions, options,
        [(first, *quantized[0]), (second, *quantized[1])], (first.shape, dtype, *quantized[2]),
    )  # fmt: skip
    found = add(first, second, **options_of(quantized, dtype))
    np.testing.assert_array_equal(found, wanted)


@given(seeds, sizes, sizes, st.data(), dtypes)
def test_tflm_equals_twin_for_any_shape(rng, rows, width, data, dtype):
    options = options_of(data.draw(quantizations(dtype)), dtype)
    first, second = (DRAWS[dtype](rng, rows, width) for _ in range(2))
    found = one_op_model.run(NAME, [first, second], [1], first.shape, options, dtype)
    np.testing.assert_array_equal(found, add(first, second, **options))


@pytest.mark.parametrize("overwritten", [None, 0, 1])
@given(seeds, st.integers(1, 200), st.data(), dtypes, st.integers(-(2**15), 2**15 - 1))
def test_cortex_m_equals_twin_over_either_input(overwritten, rng, size, data, dtype, zero_point):
    options = options_of(data.draw(quantizations(dtype)), dtype)
    if dtype == "int16":
        options["first_zero_point"] = zero_point
    inputs = [DRAWS[dtype](rng, size) for _ in range(2)]
    wanted = add(*inputs, **options)
    output = Buffer(np.zeros_like(inputs[0]))
    if overwritten is not None:
        output = inputs[overwritten] = Buffer(inputs[overwritten])
    assert_equals_twin(
        wanted, KERNELS[dtype], Struct(tuple(options.values())), size, *inputs, output
    )


@given(seeds, st.data(), dtypes)
def test_factors_of_every_size_agree(rng, data, dtype):
    """Also those that no exporter writes: zeros, small multipliers, the least shift."""
    options = options_of(data.draw(quantizations(dtype)), dtype)
    for name in ("first", "second", "output"):
        options[f"{name}_multiplier"] = data.draw(st.sampled_from([0, 1, 2**30, 2**30 - 1]))
        options[f"{name}_shift"] = data.draw(st.sampled_from([0, -1, -31]))
    inputs = [DRAWS[dtype](rng, 33) for _ in range(2)]
    output = Buffer(np.zeros_like(inputs[0]))
    assert_equals_twin(
        add(*inputs, **options),
        KERNELS[dtype],
        Struct(tuple(options.values())),
        33,
        *inputs,
        output,
    )


@pytest.mark.parametrize("dtype", DRAWS)
# Whose factor is a half: the first summand's, the second's.
@pytest.mark.parametrize("scales", [(0.05, 0.03), (0.03, 0.05)])
def test_vectors_equal_the_twin_whatever_is_left_over(dtype, scales):
    rng, zero_points = np.random.default_rng(0), (3, -5, 7) if dtype == "int8" else (0, 0, 0)
    options = add_options(
        scales[0], zero_points[0], scales[1], zero_points[1], 0.06, zero_points[2], dtype
    )
    for size in range(1, 18):
        x, y = DRAWS[dtype](rng, size), DRAWS[dtype](rng, size)
        assert_vectors_equal_twin(
            add(x, y, **options), KERNELS[dtype], Struct(tuple(options.values())), size, x, y,
            Buffer(np.zeros_like(x)), size=size,
        )  # fmt: skip


def test_output_scale_too_small_is_refused():
    with pytest.raises(ValueError, match="output_scale"):
        add_options(1.0, 0, 1.0, 0, 1e-7, 0)


GOOD = add_options(0.1, 1, 0.2, 2, 0.3, 3)
TOKENS = np.zeros((1, 3, 8), np.int8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": [TOKENS.astype(np.int32)] * 2}, "first input is int32 (type 2); allowed: int8"),
        ({"x": [TOKENS]}, "second input is missing"),
        ({"x": [TOKENS, TOKENS.astype(np.int16)]}, "second input is int16 (type 7); allowed: int8"),
        ({"x": [TOKENS, TOKENS[:, :2]]}, "second input has rows 2; allowed: 3 to 3"),
        ({"dtype": "int16"}, "output is int16 (type 7); allowed: int8"),
        ({"shape": (1, 3, 9)}, "output has width 9; allowed: 8 to 8"),
        ({"options": {}}, "option first_zero_point is missing"),
        ({"options": GOOD | {"output_zero_point": 128}}, "option output_zero_point is 128; allow"),
        ({"options": GOOD | {"second_shift": 1}}, "option second_shift is 1; allowed: -31 to 0"),
        ({"options": GOOD | {"second_shift": 0, "second_multiplier": 2**30 + 1}},
         "option second_multiplier is 1073741825; allowed: 0 to 1073741824"),
        ({"options": GOOD | {"output_multiplier": -1}}, "option output_multiplier is -1; allowed"),
    ],
)  # fmt: skip
def test_prepare_rejects_with_a_named_reason(change, reason):
    x = change.get("x", [TOKENS, TOKENS + 1])
    said = one_op_model.rejection(
        NAME, x, [1] if len(x) > 1 else [], change.get("shape", TOKENS.shape),
        change.get("options", GOOD), change.get("dtype", "int8"),
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said
