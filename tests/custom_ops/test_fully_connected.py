import itertools

import numpy as np
import one_op_model
import padded_sizes
import pytest
import tensorflow as tf
from drawn import (
    BLOCK_TOKENS_MET,
    TOKENS_MET,
    block_option,
    block_tokens,
    channel_constants,
    gelu_table,
    int4,
    int8,
    int16,
    multipliers,
    seeds,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import BUILDS, assert_equals_twin, run, scratch

from mcuformer_tflm.custom_ops.reference.dot import pack_weights, unit_constants
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected, scratch_bytes
from mcuformer_tflm.emulator.machine import Buffer, Struct, emulated_machine
from mcuformer_tflm.keras_models.exceptions import PlanError
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.plan.verifier import verify_plan
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.tflite.model_graph import read_graph

FULLY_CONNECTED = "mcuformer::FullyConnected"
RESIDUAL = {"int8": f"{FULLY_CONNECTED}Residual<signed char>",
            "int16": f"{FULLY_CONNECTED}Residual<short>"}  # fmt: skip
sizes = st.integers(1, 33)
weight_bits = st.sampled_from([8, 4])
NAME = "McuformerFullyConnected"


def layer(rng, units, width, bits=8, extra_bits=0):
    """Returns weights, constants, and both as the operator takes them."""
    weights = (int4 if bits == 4 else int8)(rng, units, width)
    constants = channel_constants(rng, units, width, extra_bits)
    return weights, constants, [pack_weights(weights, bits), constants]


def params(tokens, width, units, zero_point, rank=0, rank_zero_point=0, *, at_a_time=4):
    """Returns FullyConnectedParams for the emulator."""
    return Struct((tokens, width, units, rank, rank_zero_point, zero_point, at_a_time))


def scratch_of(tokens, width, rank=0, at_a_time=4):
    """Returns the kernel's scratch for the emulator."""
    return scratch(scratch_bytes(width, rank, tokens=tokens, block_tokens=at_a_time))


def layers(packed, bits, table=None, second=(None, None)):
    """Returns FullyConnectedWeights for the emulator."""
    return Struct((*packed, bits, *second, bits, table))


@given(
    seeds, sizes, sizes, sizes, zero_points, st.booleans(), weight_bits, st.booleans(), block_tokens
)
def test_tflm_equals_twin_for_any_shape(
    rng, tokens, width, units, zero_point, in_place, bits, gelu, at_a_time
):
    check_layer(rng, tokens, width, units, bits, gelu, zero_point, in_place, at_a_time)


@pytest.mark.parametrize("sizes", padded_sizes.cases("fully connected"), ids=padded_sizes.label)
def test_layer_equals_twin_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_layer(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.units, sizes.bits,
                sizes.gelu, at_a_time=sizes.block_tokens)  # fmt: skip


def check_layer(rng, tokens, width, units, bits, gelu, zero_point=3, in_place=True, at_a_time=4):
    """Asserts that TFLM and the emulated cores give what the twin does."""
    x = int8(rng, 1, tokens, width)
    weights, constants, packed = layer(rng, units, width, bits)
    table = gelu_table(rng) if gelu else None
    options = {
        "output_zero_point": zero_point, "in_place": int(in_place), "weight_bits": bits,
        **block_option(at_a_time),
    }  # fmt: skip
    model = one_op_model.build(NAME, [x], [None, table, *packed], (1, tokens, units), options)
    found = one_op_model.run_in_used_arena(model, [x])
    wanted = fully_connected(x[0], weights, constants, zero_point, table)
    np.testing.assert_array_equal(found[0], wanted)
    assert_equals_twin(
        wanted, FULLY_CONNECTED, params(tokens, width, units, zero_point, at_a_time=at_a_time),
        layers(packed, bits, table), x, scratch_of(tokens, width, at_a_time=at_a_time),
        Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


# All that the unrolled loops and the M7's loop for long rows can meet: kLongSteps is 48.
@pytest.mark.parametrize(
    ("bits", "steps"), [(8, range(1, 19)), (8, range(46, 66)), (4, range(1, 11))], ids=str
)
def test_rows_of_every_number_of_steps_equal_the_twin(bits, steps):
    rng = np.random.default_rng(0)
    for step in steps:
        width = step * (8 if bits == 4 else 4)
        x = int8(rng, 4, width)
        weights, constants, packed = layer(rng, 5, width, bits)
        wanted = fully_connected(x, weights, constants, 3)
        assert_equals_twin(
            wanted, FULLY_CONNECTED, params(4, width, 5, 3), layers(packed, bits), x,
            scratch_of(4, width), Buffer(np.zeros_like(wanted)),
        )  # fmt: skip


# Weights of 8 bits are widened eight units at a time, of 4 bits staged sixteen at a time, for two
# blocks and what is left: widths, units and tokens of each remainder beside each other.
@pytest.mark.parametrize(
    ("bits", "steps"), [(8, range(1, 18)), (8, range(47, 57)), (4, range(1, 18))], ids=str
)
def test_staged_rows_of_every_number_of_steps_and_units_equal_the_twin(bits, steps):
    rng = np.random.default_rng(0)
    for step in steps:
        width = step * (8 if bits == 4 else 4) - step % 4
        tokens, units = 8 + step // 2 % 4, step % 17 + 1
        x = int8(rng, tokens, width)
        weights, constants, packed = layer(rng, units, width, bits)
        table = gelu_table(rng) if step % 3 == 0 else None
        wanted = fully_connected(x, weights, constants, 3, table)
        assert_equals_twin(
            wanted, FULLY_CONNECTED, params(tokens, width, units, 3, at_a_time=12),
            layers(packed, bits, table), x, scratch_of(tokens, width, at_a_time=12),
            Buffer(np.zeros_like(wanted)),
        )  # fmt: skip


@pytest.mark.parametrize("units", [21844, 21846])
def test_rows_too_far_apart_for_offsets_of_16_bits_equal_the_twin(units):
    rng = np.random.default_rng(0)
    tokens, width = 3, 2
    x = int8(rng, tokens, width)
    weights, constants, packed = layer(rng, units, width)
    wanted = fully_connected(x, weights, constants, 3)
    found = run(
        "cortex-m55", FULLY_CONNECTED, params(tokens, width, units, 3), layers(packed, 8), x,
        scratch_of(tokens, width), Buffer(np.zeros_like(wanted)),
    )  # fmt: skip
    np.testing.assert_array_equal(found, wanted)


# One step and more, an M7's loop for long rows, whose steps load ahead, and 4 bits; weights of an
# odd and an even number of steps, staged for two blocks.
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m55"])
@pytest.mark.parametrize(
    ("bits", "width", "tokens"),
    [(8, 4, 4), (8, 40, 4), (8, 192, 4), (8, 228, 4), (4, 8, 4), (4, 40, 4), (8, 4, 8),
     (8, 228, 8), (4, 40, 8)],
)  # fmt: skip
def test_products_read_nothing_beyond_what_they_were_given(core, bits, width, tokens):
    rng = np.random.default_rng(0)
    units = 4 if tokens == 4 else 6
    _, _, packed = layer(rng, units, width, bits)
    of_call = params(tokens, width, units, 3, at_a_time=tokens)
    given = [layers(packed, bits), int8(rng, tokens, width),
             scratch_of(tokens, width, at_a_time=tokens),
             Buffer(np.zeros((tokens, units), np.int8))]  # fmt: skip
    machine = emulated_machine(core)
    assert machine.reads_beside(FULLY_CONNECTED, of_call, *given) == []
    # It would tell: the last weights are not given to the kernel.
    short = [np.ascontiguousarray(packed[0].reshape(-1)[:-4]), *packed[1:]]
    given[0] = layers(short, bits)
    assert machine.reads_beside(FULLY_CONNECTED, of_call, *given) != []


@pytest.mark.parametrize("at_a_time", BLOCK_TOKENS_MET)
def test_blocks_of_any_size_give_the_twins_bytes_for_tokens_of_every_remainder(at_a_time):
    for tokens in TOKENS_MET:
        check_residual(np.random.default_rng(0), tokens, 9, 19, 5 * (tokens % 2), int8,
                       4 if tokens % 3 else 8, at_a_time=at_a_time)  # fmt: skip


@given(seeds, sizes, sizes, sizes, sizes, zero_points, zero_points, st.booleans(), weight_bits)
def test_low_rank_pair_equals_its_two_layers(
    rng, tokens, width, rank, units, rank_zero_point, zero_point, gelu, bits
):
    check_pair(rng, tokens, width, rank, units, gelu, bits, rank_zero_point, zero_point)


@pytest.mark.parametrize(
    "sizes", padded_sizes.cases("fully connected of low rank"), ids=padded_sizes.label
)
def test_pair_equals_its_layers_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_pair(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.rank, sizes.units,
               sizes.gelu, sizes.bits, at_a_time=sizes.block_tokens)  # fmt: skip


def check_pair(rng, tokens, width, rank, units, gelu, bits, rank_zero_point=-7, zero_point=3,
               at_a_time=4):  # fmt: skip
    """Asserts that TFLM and the emulated cores give what the twin's two layers do."""
    x = int8(rng, 1, tokens, width)
    u, u_constants, packed_u = layer(rng, rank, width, bits)
    v, v_constants, packed_v = layer(rng, units, rank, bits)
    table = gelu_table(rng) if gelu else None
    options = {
        "output_zero_point": zero_point, "rank_zero_point": rank_zero_point, "in_place": 1,
        "weight_bits": bits, **block_option(at_a_time),
    }  # fmt: skip
    model = one_op_model.build(
        NAME, [x], [None, table, *packed_u, *packed_v], (1, tokens, units), options
    )
    found = one_op_model.run_in_used_arena(model, [x])
    between = fully_connected(x[0], u, u_constants, rank_zero_point)
    wanted = fully_connected(between, v, v_constants, zero_point, table)
    np.testing.assert_array_equal(found[0], wanted)
    assert_equals_twin(
        wanted, FULLY_CONNECTED,
        params(tokens, width, units, zero_point, rank, rank_zero_point, at_a_time=at_a_time),
        layers(packed_u, bits, table, packed_v), x, scratch_of(tokens, width, rank, at_a_time),
        Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


@given(
    seeds, sizes, sizes, sizes, st.integers(0, 33), zero_points, zero_points, multipliers,
    st.integers(5, 10), st.sampled_from([int8, int16]), weight_bits,
)  # fmt: skip
def test_residual_of_8_or_16_bits_in_tflm_equals_twin(
    rng, tokens, width, units, rank, zero_point, residual_zero_point, multiplier, shift, draw, bits
):
    check_residual(rng, tokens, width, units, rank, draw, bits, zero_point, residual_zero_point,
                   multiplier, shift)  # fmt: skip


@pytest.mark.parametrize(
    "sizes", padded_sizes.cases("fully connected with residual"), ids=padded_sizes.label
)
def test_residual_equals_twin_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_residual(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.units,
                   sizes.rank if sizes.low_rank else 0, int16 if sizes.dtype == "int16" else int8,
                   sizes.bits, at_a_time=sizes.block_tokens)  # fmt: skip


def check_residual(rng, tokens, width, units, rank, draw, bits, zero_point=3,
                   residual_zero_point=-5, multiplier=2**30, shift=8, at_a_time=4):  # fmt: skip
    """Asserts that TFLM and the emulated cores give what the twin does; rank 0: one layer."""
    x = int8(rng, 1, tokens, width)
    between, rank_zero_point, pairs = x[0], -7, []
    if rank > 0:
        *of_first, packed = layer(rng, rank, width, bits)
        between = fully_connected(x[0], *of_first, rank_zero_point)
        pairs.append(packed)
    weights, constants, packed = layer(rng, units, rank or width, bits, extra_bits=8)
    residual = draw(rng, 1, tokens, units)
    options = {
        "output_zero_point": zero_point,
        "residual_zero_point": residual_zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": shift,
    }
    pairs.append(packed)
    model = one_op_model.build(
        NAME, [x, residual], [1, None, *itertools.chain(*pairs)], (1, tokens, units),
        options | {"in_place": 0, "weight_bits": bits, "rank_zero_point": rank_zero_point}
        | block_option(at_a_time),
        str(residual.dtype),
    )  # fmt: skip
    found = one_op_model.run_in_used_arena(model, [x, residual])
    wanted = fully_connected(between, weights, constants, residual=residual[0], **options)
    assert found.dtype == residual.dtype
    np.testing.assert_array_equal(found[0], wanted)
    stream = Buffer(residual[0])
    assert_equals_twin(
        wanted, RESIDUAL[str(residual.dtype)],
        params(tokens, width, units, zero_point, rank, rank_zero_point, at_a_time=at_a_time),
        layers(pairs[0], bits, second=pairs[1] if rank > 0 else (None, None)),
        Struct((residual_zero_point, multiplier, shift)), x, stream,
        scratch_of(tokens, width, rank, at_a_time), stream,
    )  # fmt: skip


# Units whose sums are scaled up or hardly at all, beside such as are scaled down: of a pair the
# first, the second, both or none; and so far up that a sum saturates.
SHIFTS = np.array([-7, -6, 0, -7, -9, 1, 2, 0, 13, -8, -7, 23, -31, 31, -1, -2, -7])


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("draw", [None, int8, int16])
def test_constants_of_any_kind_equal_twin_beside_each_other(draw, bits):
    rng = np.random.default_rng(0)
    tokens, width, units = 6, 9, len(SHIFTS)
    x = int8(rng, 1, tokens, width)
    weights = (int4 if bits == 4 else int8)(rng, units, width)
    multiplier = rng.integers(2**30, 2**31, units)
    multiplier[rng.integers(0, 4, units) == 0] >>= 3
    constants = unit_constants(rng.integers(-20000, 20000, units), multiplier, SHIFTS)
    packed = pack_weights(weights, bits), constants
    layer_ = layers(packed, bits)
    if draw is None:
        wanted = fully_connected(x[0], weights, constants, 3)
        for at_a_time in (4, 8):
            assert_equals_twin(
                wanted, FULLY_CONNECTED, params(tokens, width, units, 3, at_a_time=at_a_time),
                layer_, x, scratch_of(tokens, width, at_a_time=at_a_time),
                Buffer(np.zeros_like(wanted)),
            )  # fmt: skip
        return
    residual = draw(rng, 1, tokens, units)
    for shift, at_a_time in ((8, 4), (8, 8), (13, 4), (14, 8), (-3, 4)):
        options = {"output_zero_point": 3, "residual_zero_point": -5,
                   "residual_multiplier": 2**30 + 12345, "residual_shift": shift}  # fmt: skip
        wanted = fully_connected(x[0], weights, constants, residual=residual[0], **options)
        stream = Buffer(residual[0])
        assert_equals_twin(
            wanted, RESIDUAL[str(residual.dtype)],
            params(tokens, width, units, 3, at_a_time=at_a_time), layer_,
            Struct((-5, 2**30 + 12345, shift)), x, stream,
            scratch_of(tokens, width, at_a_time=at_a_time), stream,
        )  # fmt: skip


@given(seeds, sizes, sizes, sizes, block_tokens)
def test_token_overwriting_gives_the_same_bytes_for_growing_and_shrinking_rows(
    rng, tokens, width, units, at_a_time
):
    x = int8(rng, 1, tokens, width)
    weights, constants, packed = layer(rng, units, width)
    model = one_op_model.build(
        NAME, [x], [None, None, *packed], (1, tokens, units),
        {"output_zero_point": 3, "in_place": 1, "weight_bits": 8, **block_option(at_a_time)},
    )  # fmt: skip
    plan = plan_memory(model)
    placed = {b.tensor: b.offset for b in plan.buffers if b.tensor is not None}
    assert len(set(placed.values())) == 1, "input and output share their start"
    found = one_op_model.run_model(write_plan(model, plan), [x])
    wanted = fully_connected(x[0], weights, constants, 3)
    np.testing.assert_array_equal(found[0], wanted)
    arena = np.zeros(tokens * max(width, units), np.int8)
    arena[: x.size] = x.reshape(-1)
    shared = Buffer(arena)
    for build in BUILDS:
        left = run(
            build, FULLY_CONNECTED, params(tokens, width, units, 3, at_a_time=at_a_time),
            layers(packed, 8), shared, scratch_of(tokens, width, at_a_time=at_a_time), shared,
        )  # fmt: skip
        np.testing.assert_array_equal(left[: wanted.size], wanted.reshape(-1), err_msg=build)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (6, "option block_tokens is 6; allowed: multiples of 4"),
        (0, "option block_tokens is 0; allowed: 4 to 4096"),
        (-4, "option block_tokens is -4; allowed: 4 to 4096"),
        (4100, "option block_tokens is 4100; allowed: 4 to 4096"),
    ],
)
def test_block_tokens_that_are_no_blocks_are_refused_by_name(value, reason):
    packed = layer(np.random.default_rng(0), 8, 8)[2]
    options = {"output_zero_point": 0, "in_place": 1, "weight_bits": 8, "block_tokens": value}
    x = np.zeros((1, 5, 8), np.int8)
    said = one_op_model.rejection(NAME, [x], [None, None, *packed], (1, 5, 8), options)
    assert f"{NAME}: {reason}" in said


def test_operator_that_may_not_overwrite_refuses_a_plan_that_makes_it():
    rng = np.random.default_rng(0)
    x = int8(rng, 1, 4, 8)
    packed = layer(rng, 8, 8)[2]
    options = {"output_zero_point": 0, "in_place": 1, "weight_bits": 8}
    inputs = [None, None, *packed]
    allowed = one_op_model.build(NAME, [x], inputs, (1, 4, 8), options)
    plan = plan_memory(allowed)
    forbidden = one_op_model.build(NAME, [x], inputs, (1, 4, 8), options | {"in_place": 0})
    with pytest.raises(PlanError, match="overlaps"):
        verify_plan(plan, read_graph(forbidden))
    interpreter = open_interpreter(write_plan(forbidden, plan), 1 << 20)
    interpreter.set_input(x, 0)
    with pytest.raises(RuntimeError):
        interpreter.invoke()


@given(seeds, st.integers(1, 8), sizes, sizes)
def test_twin_equals_tflites_reference_kernel(rng, tokens, width, units):
    # One scale for all units, as TFLite's own fully connected has it per tensor.
    input_scale, weight_scale, output_scale = 0.02, 0.01, 0.02 * 0.01 * 127 * width**0.5
    input_zero_point, output_zero_point = 5, -7
    x = int8(rng, tokens, width)
    weights = np.maximum(int8(rng, units, width), -127)
    bias = rng.integers(-2000, 2000, units, dtype=np.int32)
    model = _tflite_fully_connected(
        x.shape, weights, bias, (input_scale, input_zero_point), weight_scale,
        (output_scale, output_zero_point),
    )  # fmt: skip
    reference = tf.lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], x)
    reference.invoke()
    wanted = reference.get_tensor(reference.get_output_details()[0]["index"])
    scales = np.float32(input_scale) * np.float32(weight_scale)
    multiplier, shift = quantize_multiplier(float(scales) / float(np.float32(output_scale)))
    folded = bias - input_zero_point * weights.astype(np.int32).sum(1)
    constants = unit_constants(folded, np.full(units, multiplier), np.full(units, shift))
    found = fully_connected(x, weights, constants, output_zero_point)
    np.testing.assert_array_equal(found, wanted)


def _tflite_fully_connected(shape, weights, bias, source, weight_scale, target):
    from tensorflow.lite.python import schema_py_generated as schema

    from mcuformer_tflm.tflite.file import pack

    def tensor(name, shape, kind, buffer, scale, zero_point):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), kind, buffer
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [scale], [zero_point]
        return made

    def buffer(values):
        made = schema.BufferT()
        made.data = np.frombuffer(values.tobytes(), np.uint8)
        return made

    units = len(weights)
    int8_type, int32_type = schema.TensorType.INT8, schema.TensorType.INT32
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("x", shape, int8_type, 0, *source),
        tensor("w", weights.shape, int8_type, 1, weight_scale, 0),
        tensor("b", (units,), int32_type, 2, source[0] * weight_scale, 0),
        tensor("y", (shape[0], units), int8_type, 0, *target),
    ]
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [3]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 4
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [schema.BufferT(), buffer(weights), buffer(bias)]
    return pack(model)
