import numpy as np
import pytest
from drawn import int8, int16, seeds
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import assert_equals_twin

from mcuformer_tflm.custom_ops.reference.dot import INT4_OFFSET, pack_weights, unpack_weights
from mcuformer_tflm.emulator.machine import Buffer

sizes = st.integers(1, 40)
# Long enough for whole and broken rounds of the unrolled loops.
widths = st.integers(1, 150)


def token_block(rows):
    """Lays up to four rows out as the kernels' token blocks, from the layout's definition."""
    tokens, width = rows.shape
    padded = np.zeros((4, -(-width // 8) * 8), np.int16)
    padded[:tokens, :width] = rows
    pairs = padded.reshape(4, -1, 2, 2).transpose(1, 3, 0, 2)  # step, odd, token, pair
    return np.ascontiguousarray(pairs).reshape(-1)


@given(seeds, sizes, sizes, st.sampled_from([8, 4]))
def test_packed_weights_unpack_to_themselves(rng, units, width, weight_bits):
    weights = int8(rng, units, width) >> (8 - weight_bits)
    packed = pack_weights(weights, weight_bits)
    np.testing.assert_array_equal(unpack_weights(packed, units, width, weight_bits), weights)


@given(seeds, widths, st.integers(1, 4), st.integers(0, 9), st.integers(0, 3))
def test_widened_tokens_have_the_layout_of_a_block(rng, width, tokens, gap, offset):
    rows = int8(rng, tokens, width + gap)
    before = int16(rng, 4 * -(-width // 8) * 8)
    # Padding and tokens that are missing are left alone.
    given_a_value = token_block(np.ones((tokens, width), np.int16)) == 1
    wanted = np.where(given_a_value, token_block(rows[:, :width]), before)
    # Rows may start at any byte: in place, they lie where an output will.
    source = Buffer(rows, offset)
    assert_equals_twin(
        wanted, "mcuformer::WidenTokens", source, width + gap, tokens, width, Buffer(before)
    )


@given(seeds, st.integers(1, 12), st.integers(0, 3))
def test_one_widened_token_leaves_the_others_of_its_block_alone(rng, steps, offset):
    row = int8(rng, 4 * steps)
    before = int16(rng, 16 * steps)
    wanted = before.reshape(steps, 2, 4, 2).copy()  # step, odd, token, pair
    wanted[:, :, 0] = row.reshape(steps, 2, 2).swapaxes(1, 2)
    assert_equals_twin(
        wanted.reshape(-1), "mcuformer::WidenToken", Buffer(row, offset), steps, Buffer(before)
    )


@pytest.mark.parametrize("weight_bits", [8, 4])
@pytest.mark.parametrize("tokens", [4, 1])
@given(rng=seeds, width=widths)
def test_inner_loop_adds_the_products(weight_bits, tokens, rng, width):
    rows = int16(rng, tokens, width) >> rng.integers(1, 8)
    weights = int8(rng, 2, width) >> (8 - weight_bits)
    start = rng.integers(-(2**20), 2**20, (2, tokens), dtype=np.int32)
    offset = INT4_OFFSET if weight_bits == 4 else 0
    wanted = (weights.astype(np.int64) + offset) @ rows.T.astype(np.int64) + start
    function = f"McuformerDot{tokens}x2" + ("Int4" if weight_bits == 4 else "")
    steps = -(-width // (8 if weight_bits == 4 else 4))
    block, packed = token_block(rows), pack_weights(weights, weight_bits)
    assert_equals_twin(wanted, function, block, packed, steps, Buffer(start))


@pytest.mark.parametrize(
    ("function", "weight_bits", "unroll"),
    [("McuformerDot4x2", 8, 8), ("McuformerDot4x2Int4", 4, 4), ("McuformerDot1x2", 8, 2),
     ("McuformerDot1x2Int4", 4, 2)],
)  # fmt: skip
def test_inner_loop_takes_every_number_of_steps(function, weight_bits, unroll):
    rng = np.random.default_rng(0)
    tokens = 4 if "4x2" in function else 1
    for steps in range(1, 2 * unroll + 2):
        width = steps * (8 if weight_bits == 4 else 4)
        rows, weights = int8(rng, tokens, width), int8(rng, 2, width) >> (8 - weight_bits)
        wanted = (weights + (INT4_OFFSET if weight_bits == 4 else 0)) @ rows.T.astype(np.int64)
        assert_equals_twin(
            wanted, function, token_block(rows)[: 4 * width], pack_weights(weights, weight_bits),
            steps, Buffer(np.zeros_like(wanted, np.int32)),
        )  # fmt: skip


@given(rng=seeds, token=st.integers(0, 3), width=widths)
def test_inner_loop_for_one_token_takes_any_of_a_block(rng, token, width):
    rows, weights = int8(rng, 4, width).astype(np.int16), int8(rng, 2, width)
    block = np.append(token_block(rows)[2 * token :], np.zeros(2 * token, np.int16))
    wanted = weights.astype(np.int64) @ rows[token].astype(np.int64)
    assert_equals_twin(
        wanted, "McuformerDot1x2", block, pack_weights(weights), -(-width // 4),
        Buffer(np.zeros(2, np.int32)),
    )  # fmt: skip
