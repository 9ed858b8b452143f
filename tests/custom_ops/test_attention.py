import numpy as np
import one_op_model
import padded_sizes
import pytest
from drawn import (
    BLOCK_TOKENS_MET,
    TOKENS_MET,
    block_option,
    block_tokens,
    channel_constants,
    int4,
    int8,
    int16,
    norm,
    seeds,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, assert_vectors_equal_twin, scratch

from mcuformer_tflm.custom_ops.reference.attention import (
    PROBABILITY_ONE,
    attention,
    exp_table,
    pack_qkv,
    row_softmax,
    scratch_bytes,
)
from mcuformer_tflm.custom_ops.reference.dot import pack_weights, round_up
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected
from mcuformer_tflm.custom_ops.reference.layer_norm import layer_norm
from mcuformer_tflm.emulator.machine import Buffer, Struct

NAME = "McuformerAttention"
KERNELS = {"int8": "mcuformer::Attention<signed char>", "int16": "mcuformer::Attention<short>"}
# LayerNormParams behind its width.
NORM_FIELDS = ("epsilon", "iterations", "normalised_bits")
scores = st.sampled_from([1e-4, 0.004, 0.1, 30.0])


def _options(heads, head_dim, zero_point, score, context):
    score_multiplier, score_shift = quantize_multiplier(score)
    context_multiplier, context_shift = quantize_multiplier(context)
    return {
        "num_heads": heads,
        "head_dim": head_dim,
        "output_zero_point": zero_point,
        "score_multiplier": score_multiplier,
        "score_shift": score_shift,
        "context_multiplier": context_multiplier,
        "context_shift": context_shift,
    }


def params(options, tokens, width=0, norm=(0, 0, 0, 0), *, at_a_time=4):
    """Returns AttentionParams for the emulator."""
    names = ("num_heads", "head_dim", "output_zero_point", "score_multiplier", "score_shift",
             "context_multiplier", "context_shift")  # fmt: skip
    fields = (options[name] for name in names)
    rows = options.get("grid", 0)
    grid = rows, options.get("grid_columns", rows)
    zero_point = options.get("rank_zero_point", 0)
    return Struct((tokens, width, *fields, *grid, zero_point, *norm, at_a_time))


def weights_of(
    table, packed=(None, None), bits=8, norm=(None, None), bias=None, low_rank=(None, None)
):
    """Returns AttentionWeights for the emulator."""
    return Struct((*packed, bits, *norm, table, bias, *low_rank, bits))


@given(seeds, st.integers(1, 30), st.integers(1, 4), st.integers(1, 17), zero_points, scores)
def test_on_given_queries_keys_and_values_tflm_equals_twin(
    rng, tokens, heads, head_dim, zero_point, score
):
    check_given(rng, tokens, heads, head_dim, zero_point, score)


@pytest.mark.parametrize("sizes", padded_sizes.cases("attention"), ids=padded_sizes.label)
def test_given_heads_equal_the_twin_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_given(np.random.default_rng(0), sizes.tokens, sizes.heads, sizes.head_dim)


@pytest.mark.parametrize("score", [0.25, 0.125, 0.0625])
def test_logits_are_told_apart_up_to_the_ends_of_16_bits(score):
    # Queries and keys of one direction, whose products reach the greatest of 8 values.
    sizes = np.array([-128, -127, -100, -90, -80, -70, -64, -60, 1], np.int8)
    qkv = int8(np.random.default_rng(0), 1, 9, 3 * 8)
    qkv[0, :, :16] = sizes[:, None]
    check_given_tokens(qkv, 1, 8, 3, score)


def check_given(rng, tokens, heads, head_dim, zero_point=3, score=0.004):
    qkv = int8(rng, 1, tokens, 3 * heads * head_dim)
    check_given_tokens(qkv, heads, head_dim, zero_point, score)


def check_given_tokens(qkv, heads, head_dim, zero_point, score):
    """Asserts that TFLM and the emulated cores give what the twin does."""
    tokens = qkv.shape[1]
    options = _options(heads, head_dim, zero_point, score, 0.8 / PROBABILITY_ONE)
    table = exp_table(0.05)
    shape = (1, tokens, heads * head_dim)
    model = one_op_model.build(NAME, [qkv], [table], shape, options)
    found = one_op_model.run_in_used_arena(model, [qkv])
    wanted = attention(qkv[0], table, **options)
    np.testing.assert_array_equal(found[0], wanted)
    assert_equals_twin(
        wanted, KERNELS["int8"], params(options, tokens), weights_of(table), qkv,
        scratch(scratch_bytes(tokens, head_dim)), Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


@given(
    seeds, st.integers(1, 30), st.integers(1, 40), st.integers(1, 4), st.integers(1, 17),
    zero_points, scores, st.sampled_from(["normalised", "int8", "int16"]),
    st.sampled_from([8, 4]), block_tokens,
)  # fmt: skip
def test_heads_streamed_from_tokens_equal_norm_layer_and_attention_of_the_twins(
    rng, tokens, width, heads, head_dim, zero_point, score, source, bits, at_a_time
):
    check_streamed(rng, tokens, width, heads, head_dim, source, bits, zero_point, score, at_a_time)


@pytest.mark.parametrize(
    "sizes", padded_sizes.cases("attention with projections"), ids=padded_sizes.label
)
def test_streamed_heads_equal_the_twins_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_streamed(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.heads,
                   sizes.head_dim, sizes.source, sizes.bits,
                   at_a_time=sizes.block_tokens)  # fmt: skip


@pytest.mark.parametrize("at_a_time", BLOCK_TOKENS_MET)
def test_blocks_of_any_size_give_the_twins_bytes_for_tokens_of_every_remainder(at_a_time):
    for tokens in TOKENS_MET:
        source, bits = "int16" if tokens % 4 else "int8", 4 if tokens % 3 else 8
        rng = np.random.default_rng(0)
        if tokens % 2:
            check_low_rank(rng, tokens, 9, 5, 2, 11, source, bits, at_a_time=at_a_time)
        else:
            check_streamed(rng, tokens, 9, 2, 11, source, bits, at_a_time=at_a_time)


def check_streamed(rng, tokens, width, heads, head_dim, source, bits, zero_point=3, score=0.004,
                   at_a_time=4):  # fmt: skip
    """Asserts that TFLM and the emulated cores give what the twins do one after the other."""
    x = (int16 if source == "int16" else int8)(rng, 1, tokens, width)
    units = 3 * heads * head_dim
    weights = (int4 if bits == 4 else int8)(rng, units, width)
    constants = channel_constants(rng, units, width)
    gamma, beta, norm_options = norm(rng, width)
    options = _options(heads, head_dim, zero_point, score, 0.8 / PROBABILITY_ONE)
    table = exp_table(0.05)
    packed = pack_qkv(weights, constants, heads, head_dim, bits)
    normalises = source != "normalised"
    inputs = [table, gamma if normalises else None, beta if normalises else None, *packed]
    model = one_op_model.build(
        NAME, [x], inputs, (1, tokens, heads * head_dim),
        options | {"weight_bits": bits} | (norm_options if normalises else {})
        | block_option(at_a_time),
    )  # fmt: skip
    found = one_op_model.run_in_used_arena(model, [x])
    y = layer_norm(x[0], gamma, beta, **norm_options) if normalises else x[0]
    wanted = attention(fully_connected(y, weights, constants, 0), table, **options)
    np.testing.assert_array_equal(found[0], wanted)
    normalisation = (width, *(norm_options[name] for name in NORM_FIELDS))
    assert_equals_twin(
        wanted, KERNELS[str(x.dtype)],
        params(options, tokens, width, normalisation, at_a_time=at_a_time),
        weights_of(table, packed, bits, inputs[1:3]), x,
        scratch(scratch_bytes(tokens, head_dim, width, block_tokens=at_a_time)),
        Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


@given(
    seeds, st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4),
    st.integers(1, 17), st.sampled_from(["int8", "int16"]), st.sampled_from([8, 4]), zero_points,
    block_tokens,
)  # fmt: skip
def test_heads_of_a_low_rank_pair_equal_norm_both_layers_and_attention_of_the_twins(
    rng, tokens, width, rank, heads, head_dim, source, bits, zero_point, at_a_time
):
    check_low_rank(rng, tokens, width, rank, heads, head_dim, source, bits, zero_point, at_a_time)


@pytest.mark.parametrize(
    "sizes", padded_sizes.cases("attention of low rank"), ids=padded_sizes.label
)
def test_low_rank_heads_equal_the_twins_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    check_low_rank(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.rank, sizes.heads,
                   sizes.head_dim, sizes.source, sizes.bits,
                   at_a_time=sizes.block_tokens)  # fmt: skip


def check_low_rank(rng, tokens, width, rank, heads, head_dim, source, bits, zero_point=-7,
                   at_a_time=4):  # fmt: skip
    """Asserts that TFLM and the emulated cores give what the twins do one after the other."""
    x = (int16 if source == "int16" else int8)(rng, 1, tokens, width)
    units, draw = 3 * heads * head_dim, int4 if bits == 4 else int8
    first = draw(rng, rank, width), channel_constants(rng, rank, width)
    second = draw(rng, units, rank), channel_constants(rng, units, rank)
    gamma, beta, norm_options = norm(rng, width)
    options = _options(heads, head_dim, 3, 0.004, 0.8 / PROBABILITY_ONE)
    table, packed = exp_table(0.05), pack_qkv(*second, heads, head_dim, bits)
    low_rank = pack_weights(first[0], bits), first[1]
    further = {"weight_bits": bits, "rank_zero_point": zero_point} | block_option(at_a_time)
    model = one_op_model.build(
        NAME, [x], [table, gamma, beta, *packed, None, *low_rank], (1, tokens, heads * head_dim),
        options | further | norm_options,
    )  # fmt: skip
    found = one_op_model.run_in_used_arena(model, [x])
    y = fully_connected(layer_norm(x[0], gamma, beta, **norm_options), *first, zero_point)
    wanted = attention(fully_connected(y, *second, 0), table, **options)
    np.testing.assert_array_equal(found[0], wanted)
    normalisation = (width, *(norm_options[name] for name in NORM_FIELDS))
    assert_equals_twin(
        wanted, KERNELS[str(x.dtype)],
        params(options | further, tokens, rank, normalisation, at_a_time=at_a_time),
        weights_of(table, packed, bits, (gamma, beta), low_rank=low_rank), x,
        scratch(scratch_bytes(tokens, head_dim, width, rank, block_tokens=at_a_time)),
        Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


def test_low_rank_pair_without_normalisation_or_zero_point_is_refused_with_a_named_reason():
    rng = np.random.default_rng(0)
    packed = pack_qkv(int8(rng, 6, 4), channel_constants(rng, 6, 4), 1, 2)
    low_rank = pack_weights(int8(rng, 4, 8)), channel_constants(rng, 4, 8)
    gamma, beta, norm_options = norm(rng, 8)
    options = _options(1, 2, 3, 0.1, 0.1) | {"weight_bits": 8} | norm_options
    zero = {"rank_zero_point": 0}
    for inputs, chosen, reason in (
        ([None, None, *packed, None, *low_rank], options | zero, "a low-rank pair takes tokens"),
        ([gamma, beta, *packed, None, *low_rank], options, "option rank_zero_point is missing"),
        ([gamma, beta, *packed, None, low_rank[0][1:], low_rank[1]], options | zero,
         "low rank has 16 elements; needed: 32"),
        ([gamma, beta, packed[0][1:], packed[1], None, *low_rank], options | zero,
         "weights has 23 elements; needed: 24"),
    ):  # fmt: skip
        said = one_op_model.rejection(
            NAME, [np.zeros((1, 3, 8), np.int8)], [exp_table(0.05), *inputs], (1, 3, 2), chosen
        )
        assert f"{NAME}: {reason}" in said


@given(seeds, st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(1, 3))
def test_relative_position_bias_in_tflm_equals_twin(rng, rows, columns, class_token, heads):
    check_relative(rng, rows, columns, class_token, heads)


# Tokens of each remainder of a block, with the class token and without.
@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (7, 1), (2, 3), (4, 2), (5, 5)])
def test_bias_of_every_place_in_a_block_equals_twin(rows, columns, class_token):
    check_relative(np.random.default_rng(0), rows, columns, class_token, heads=2)


# Heads of one step of the inner loop, of two, of several and of more than are unrolled.
@pytest.mark.parametrize("head_dim", [1, 5, 8, 12, 19, 37])
@pytest.mark.parametrize("score", [1e-4, 0.004, 0.4, 30.0])
def test_bias_joins_logits_of_every_head_width_and_scale(head_dim, score):
    rng = np.random.default_rng(head_dim)
    check_relative(rng, 3, 3, False, 1, head_dim, score)
    check_relative(rng, 2, 5, head_dim % 2 == 1, 1, head_dim, score)


@pytest.mark.parametrize("greatest", [1, 2000, 2**14 - 1, 2**14, 2**15 - 1])
@pytest.mark.parametrize("tokens", [1, 6, 7, 13])
def test_table_that_starts_anywhere_above_0_gives_the_twins_probabilities(greatest, tokens):
    rng = np.random.default_rng(tokens)
    table = (exp_table(0.05).astype(np.int64) * greatest >> 15).astype(np.int16)
    table[0] = greatest
    qkv = int8(rng, 1, tokens, 3 * 4)
    options = _options(1, 4, 3, 0.004, 0.8 / PROBABILITY_ONE)
    wanted = attention(qkv[0], table, **options)
    assert_equals_twin(
        wanted, KERNELS["int8"], params(options, tokens), weights_of(table), qkv,
        scratch(scratch_bytes(tokens, 4)), Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


def check_relative(rng, rows, columns, class_token, heads, head_dim=4, score=0.004):
    """Asserts that TFLM and the emulated cores give what the twin does."""
    tokens = rows * columns + class_token
    qkv = int8(rng, 1, tokens, 3 * heads * head_dim)
    steps = (2 * rows - 1) * (2 * columns - 1)
    bias = int16(rng, heads, steps + 3 * class_token) >> (8 if score < 1 else 0)
    options = _options(heads, head_dim, 3, score, 0.8 / PROBABILITY_ONE) | {"grid": rows}
    if rows != columns or heads == 3:  # a square may do without
        options["grid_columns"] = columns
    table = exp_table(0.05)
    found = one_op_model.run(
        NAME, [qkv], [table, None, None, None, None, bias], (1, tokens, heads * head_dim), options
    )
    wanted = attention(qkv[0], table, position_bias=bias, **options)
    np.testing.assert_array_equal(found[0], wanted)
    assert_equals_twin(
        wanted, KERNELS["int8"], params(options, tokens), weights_of(table, bias=bias), qkv,
        scratch(scratch_bytes(tokens, head_dim)), Buffer(np.zeros_like(wanted)),
    )  # fmt: skip


# The least and the greatest sums that are served, a power of two, whose inverse has 17 bits, and
# distances beyond the table and beyond 16 bits.
@pytest.mark.parametrize("greatest", [1, 40, 4095, 4096, 16384, 32767])
def test_vectors_of_logits_equal_the_twin_whatever_is_left_over(greatest):
    rng = np.random.default_rng(0)
    table = np.maximum(greatest * np.exp(-0.1 * np.arange(256)), 1).astype(np.int16)
    for tokens in [*range(1, 18), 64, 2048]:
        logits = int16(rng, 3, tokens) >> np.array([[0], [9], [0]], np.int16)
        logits[2] = -7
        stride = round_up(tokens, 4)
        block = np.zeros((3, stride), np.int16)
        block[:, :tokens] = logits
        wanted = block.copy()
        wanted[:, :tokens] = row_softmax(logits.astype(np.int64), table)
        assert_vectors_equal_twin(
            wanted, "mcuformer::AttentionSoftmax", tokens, 3, table, Buffer(block), size=tokens
        )


def test_position_bias_goes_by_the_step_from_query_to_key():
    # Two by two patches; only a step of one row down counts, far above every other logit.
    bias = np.zeros((1, 3, 3), np.int16)
    bias[0, 2, 1] = 1000
    qkv = np.zeros((4, 3), np.int8)
    qkv[:, 2] = (10, 20, 30, 40)
    options = _options(1, 1, 0, 1.0, 1 / PROBABILITY_ONE)
    found = attention(qkv, exp_table(0.05), position_bias=bias, grid=2, **options)
    # Patches of the upper row see the one below; those of the lower row see the average.
    np.testing.assert_array_equal(found[:, 0], [30, 40, 25, 25])


def test_position_bias_of_a_row_of_patches_and_a_class_token_goes_by_what_each_is():
    # A class token before one row of three patches: five steps, then three of the class token.
    qkv = np.zeros((4, 3), np.int8)
    qkv[:, 2] = (10, 40, 70, 100)
    options = _options(1, 1, 0, 1.0, 1 / PROBABILITY_ONE) | {"grid": 1, "grid_columns": 3}
    # What each query sees where one of them is far above all others.
    for place, wanted in {
        1: [55, 55, 40, 70],  # the patch before
        4: [55, 100, 55, 55],  # two patches on
        5: [70, 55, 55, 55],  # from the class token to any patch
        6: [55, 10, 10, 10],  # from a patch to the class token
        7: [10, 55, 55, 55],  # the class token itself
    }.items():
        bias = np.zeros((1, 8), np.int16)
        bias[0, place] = 1000
        found = attention(qkv, exp_table(0.05), position_bias=bias, **options)
        np.testing.assert_array_equal(found[:, 0], wanted, err_msg=str(place))


@pytest.mark.parametrize(
    ("grid", "elements", "reason"),
    [
        ({}, 15, "option grid is missing"),
        ({"grid": 2, "grid_columns": 0}, 15, "option grid_columns is 0; allowed: 1 to 2048"),
        ({"grid": 2, "grid_columns": 2}, 9, "input has rows 7; allowed: 4 to 5"),
        ({"grid": 2, "grid_columns": 4}, 21, "input has rows 7; allowed: 8 to 9"),
        ({"grid": 2, "grid_columns": 3}, 15, "position bias has 15 elements; needed: 18"),
    ],
)
def test_bias_of_another_grid_is_refused_with_a_named_reason(grid, elements, reason):
    bias = np.ones((1, elements), np.int16)
    said = one_op_model.rejection(
        NAME, [np.zeros((1, 7, 3), np.int8)], [exp_table(0.05), None, None, None, None, bias],
        (1, 7, 1), _options(1, 1, 0, 0.1, 0.1) | grid,
    )  # fmt: skip
    assert f"{NAME}: {reason}" in said


@pytest.mark.parametrize("tokens", [1, 2, 49, 225, 2048])
def test_probabilities_are_those_of_float64_within_the_logits_step(tokens):
    rng = np.random.default_rng(tokens)
    logits = rng.integers(-120, 120, (50, tokens))
    found = row_softmax(logits, exp_table(0.05)) / PROBABILITY_ONE
    wanted = np.exp(0.05 * (logits - logits.max(-1, keepdims=True)))
    wanted /= wanted.sum(-1, keepdims=True)
    # A 16-bit inverse and two roundings to 15 bits; the exponential's own is relative to 1.
    assert np.abs(found - wanted).max() <= 1.5 / PROBABILITY_ONE + 2**-15 * wanted.max()
    assert np.abs(found.sum(-1) - 1).max() <= tokens * 0.5 / PROBABILITY_ONE + 2**-14


def test_error_against_float64_is_below_one_unit_and_a_half():
    rng = np.random.default_rng(5)
    tokens, heads, head_dim, scale = 49, 2, 16, 0.02
    qkv = np.clip(rng.normal(0, 45, (tokens, 3 * heads * head_dim)), -128, 127).astype(np.int8)
    score = scale * scale / head_dim**0.5 / 0.05
    options = _options(heads, head_dim, 0, score, 1 / PROBABILITY_ONE)
    found = attention(qkv, exp_table(0.05), **options)
    parts = scale * qkv.astype(np.float64).reshape(tokens, 3, heads, head_dim)
    query, key, value = parts.transpose(1, 2, 0, 3)
    logits = query @ key.transpose(0, 2, 1) / head_dim**0.5
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    wanted = (probability @ value).transpose(1, 0, 2).reshape(tokens, -1) / scale
    error = np.abs(found - wanted)
    # Half a unit of the output's rounding; logits rounded to 0.05 change a probability by at
    # most 2.5 %, at random, of values of deviation 45.
    assert error.mean() < 0.3
    assert error.max() < 1.5


def test_probabilities_of_equal_logits_average_the_values():
    qkv = np.zeros((4, 3), np.int8)
    qkv[:, 2] = (8, 16, 24, 32)
    options = _options(1, 1, 0, 1.0, 1 / PROBABILITY_ONE)
    np.testing.assert_array_equal(attention(qkv, exp_table(0.05), **options), [[20]] * 4)
