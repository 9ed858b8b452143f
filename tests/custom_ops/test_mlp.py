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
    gelu_table,
    int4,
    int8,
    int16,
    multipliers,
    norm,
    seeds,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin, scratch

from mcuformer_tflm.custom_ops.reference.dot import pack_weights
from mcuformer_tflm.custom_ops.reference.mlp import mlp, scratch_bytes
from mcuformer_tflm.emulator.machine import Buffer, Struct
from mcuformer_tflm.plan import plan_memory, write_plan

sizes = st.integers(1, 40)


@given(
    seeds, st.integers(1, 20), sizes, sizes, sizes, st.booleans(), st.sampled_from([8, 4]),
    st.sampled_from([int8, int16]), zero_points, multipliers, st.booleans(), block_tokens,
)  # fmt: skip
def test_one_pass_in_tflm_equals_the_layers_of_the_twin(
    rng,
    tokens,
    width,
    hidden,
    rank,
    low_rank,
    bits,
    draw,
    zero_point,
    multiplier,
    overwrites,
    at_a_time,
):
    check(rng, tokens, width, hidden, rank if low_rank else 0, bits, draw, zero_point, multiplier,
          run_overwriting if overwrites else one_op_model.run_model, at_a_time)  # fmt: skip


@pytest.mark.parametrize(
    "sizes", [*padded_sizes.cases("mlp of low rank"), *padded_sizes.cases("mlp")],
    ids=padded_sizes.label,
)  # fmt: skip
def test_one_pass_equals_the_layers_however_blocks_are_padded_and_whatever_scratch_held(sizes):
    draw = int16 if sizes.dtype == "int16" else int8
    check(np.random.default_rng(0), sizes.tokens, sizes.width, sizes.hidden,
          getattr(sizes, "rank", 0), sizes.bits, draw, block_tokens=sizes.block_tokens)  # fmt: skip


@pytest.mark.parametrize("at_a_time", BLOCK_TOKENS_MET)
def test_blocks_of_any_size_give_the_layers_bytes_for_tokens_of_every_remainder(at_a_time):
    for tokens in TOKENS_MET:
        check(np.random.default_rng(0), tokens, 9, 19, 5 * (tokens % 2), 4 if tokens % 3 else 8,
              int16 if tokens % 4 else int8, block_tokens=at_a_time)  # fmt: skip


def run_overwriting(model, activations):
    """Returns the output of a model whose output takes the place of its input."""
    plan = plan_memory(model)
    assert len({b.offset for b in plan.buffers if b.tensor is not None}) == 1
    return one_op_model.run_model(write_plan(model, plan), activations)


def check(rng, tokens, width, hidden, rank, bits, draw, zero_point=3, multiplier=2**30,
          run_model=one_op_model.run_in_used_arena, block_tokens=4):  # fmt: skip
    """Asserts that TFLM and the emulated cores give what the twin's layers do; rank 0: whole."""
    shapes = [(rank, width), (hidden, rank), (rank, hidden), (width, rank)]
    if rank == 0:
        shapes = [(hidden, width), (width, hidden)]
    layers = []
    for index, (units, inner) in enumerate(shapes):
        weights = (int4 if bits == 4 else int8)(rng, units, inner)
        extra_bits = 8 if index + 1 == len(shapes) else 0
        layers.append((weights, channel_constants(rng, units, inner, extra_bits)))
    x = draw(rng, 1, tokens, width)
    gamma, beta, norm_options = norm(rng, width)
    table = gelu_table(rng)
    options = {
        "hidden_zero_point": 5,
        "output_zero_point": zero_point,
        "residual_zero_point": -zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": 8,
    }
    if rank > 0:
        options |= {"fc1_rank_zero_point": -7, "fc2_rank_zero_point": 9}
    packed = [part for weights, constants in layers
              for part in (pack_weights(weights, bits), constants)]  # fmt: skip
    model = one_op_model.build(
        "McuformerMlp", [x], [gamma, beta, table, *packed], x.shape,
        options | norm_options | {"weight_bits": bits} | block_option(block_tokens), str(x.dtype),
    )  # fmt: skip
    found = run_model(model, [x])
    wanted = mlp(x[0], gamma, beta, table, layers, norm_options, **options)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found[0], wanted)
    names = ("fc1_rank_zero_point", "hidden_zero_point", "fc2_rank_zero_point",
             "output_zero_point", "residual_zero_point", "residual_multiplier",
             "residual_shift")  # fmt: skip
    normalisation = (norm_options[name] for name in ("epsilon", "iterations", "normalised_bits"))
    fields = (options.get(name, 0) for name in names)
    pairs = list(zip(packed[::2], packed[1::2], strict=True))
    if rank == 0:
        pairs = [(None, None), pairs[0], (None, None), pairs[1]]
    stream = Buffer(x[0])
    assert_equals_twin(
        wanted, f"mcuformer::Mlp<{'signed char' if x.dtype == np.int8 else 'short'}>",
        Struct((tokens, width, hidden, rank, *fields, width, *normalisation,
                block_tokens)),
        Struct((gamma, beta, table, *(part for pair in pairs for part in (*pair, bits)))),
        stream,
        scratch(scratch_bytes(width, hidden, rank, tokens=tokens, block_tokens=block_tokens)),
        stream,
    )  # fmt: skip
