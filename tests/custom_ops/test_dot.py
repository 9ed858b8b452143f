import numpy as np
import pytest
from drawn import int8, int16, seeds
from hypothesis import given
from hypothesis import strategies as st
from on_cortex_m import BUILDS, builds, run

from mcuformer_tflm.custom_ops.reference.dot import INT4_OFFSET, pack_weights, unpack_weights
from mcuformer_tflm.emulator.machine import Buffer

sizes = st.integers(1, 40)
# Long enough for whole and broken rounds of the unrolled loops.
widths = st.integers(1, 150)


# Where each eight values lie in blocks that meet weights of 4 bits, with Helium.
REVERSED = [0, 4, 2, 6, 1, 5, 3, 7]


def token_block(build, rows, weight_bits=8):
    """Lays up to four rows out as the kernels' token blocks, from the layout's definition."""
    tokens, width = rows.shape
    padded = np.zeros((4, -(-width // 8) * 8), np.int16)
    padded[:tokens, :width] = rows
    if build == "cortex-m55":
        if weight_bits == 4:
            padded = padded.reshape(4, -1, 8)[:, :, REVERSED]
        return padded.astype(np.int8).reshape(-1)
    pairs = padded.reshape(4, -1, 2, 2).transpose(1, 3, 0, 2)  # step, odd, token, pair
    return np.ascontiguousarray(pairs).reshape(-1)


def shape_of(build, width, weight_bits=8):
    """Returns what with Helium tells the layout of a block: its stride and its order."""
    return (-(-width // 8) * 8, weight_bits == 4) if build == "cortex-m55" else ()


def assert_leaves(build, wanted, function, *arguments):
    found = run(build, function, *arguments)
    np.testing.assert_array_equal(found.reshape(np.shape(wanted)), wanted, err_msg=build)


@given(seeds, sizes, sizes, st.sampled_from([8, 4]))
def test_packed_weights_unpack_to_themselves(rng, units, width, weight_bits):
    weights = int8(rng, units, width) >> (8 - weight_bits)
    packed = pack_weights(weights, weight_bits)
    np.testing.assert_array_equal(unpack_weights(packed, units, width, weight_bits), weights)


@builds
@pytest.mark.parametrize("weight_bits", [8, 4])
@given(rng=seeds, width=widths, tokens=st.integers(1, 4), gap=st.integers(0, 9),
       offset=st.integers(0, 3))  # fmt: skip
def test_widened_tokens_have_the_layout_of_a_block(
    build, weight_bits, rng, width, tokens, gap, offset
):
    rows = int8(rng, tokens, width + gap)
    # Padding and tokens that are missing are left alone.
    ones = token_block(build, np.ones((tokens, width), np.int8), weight_bits)
    before = int16(rng, ones.size).astype(ones.dtype)
    wanted = np.where(ones == 1, token_block(build, rows[:, :width], weight_bits), before)
    # Rows may start at any byte: in place, they lie where an output will.
    assert_leaves(
        build, wanted, "mcuformer::WidenTokens", Buffer(rows, offset), width + gap, tokens, width,
        Buffer(before), *shape_of(build, width, weight_bits),
    )  # fmt: skip


@builds
@given(rng=seeds, steps=st.integers(1, 12), offset=st.integers(0, 3))
def test_one_widened_token_leaves_the_others_of_its_block_alone(build, rng, steps, offset):
    rows = int8(rng, 4, 4 * steps)
    ones = token_block(build, np.ones((1, 4 * steps), np.int8))
    before = int16(rng, ones.size).astype(ones.dtype)
    wanted = np.where(ones == 1, token_block(build, rows), before)
    assert_leaves(
        build, wanted, "mcuformer::WidenToken", Buffer(rows[0], offset), steps, Buffer(before)
    )


# With Helium one token costs as much as four.
loops = pytest.mark.parametrize(
    ("build", "tokens"),
    [
        (build, tokens)
        for build in BUILDS
        for tokens in (4, 1)
        if (build, tokens) != ("cortex-m55", 1)
    ],
)


def product(build, weight_bits, rows, weights, start):
    """Asserts that the inner loop adds the products of one or four rows and two units."""
    tokens, width = rows.shape
    offset = INT4_OFFSET if weight_bits == 4 else 0
    wanted = (weights.astype(np.int64) + offset) @ rows.T.astype(np.int64) + start
    function = f"McuformerDot{tokens}x2" + ("Int4" if weight_bits == 4 else "")
    step = 8 if weight_bits == 4 else 4
    steps = -(-width // step)
    block = token_block(build, rows, weight_bits)
    # Exactly the steps: what lies behind them is not read.
    if build == "cortex-m55":
        block = block.reshape(4, -1)[:tokens].reshape(-1)
    else:
        block = block[: 4 * step * steps]
    packed = pack_weights(weights, weight_bits)
    assert_leaves(build, wanted, function, block, packed, steps, Buffer(start.astype(np.int32)))


@loops
@pytest.mark.parametrize("weight_bits", [8, 4])
@given(rng=seeds, width=widths)
def test_inner_loop_adds_the_products(build, weight_bits, tokens, rng, width):
    rows = int8(rng, tokens, width).astype(np.int16)
    if build != "cortex-m55":  # whose blocks are bytes
        rows = int16(rng, tokens, width) >> rng.integers(1, 8)
    weights = int8(rng, 2, width) >> (8 - weight_bits)
    start = rng.integers(-(2**20), 2**20, (2, tokens))
    product(build, weight_bits, rows, weights, start)


@loops
@pytest.mark.parametrize("weight_bits", [8, 4])
def test_inner_loop_takes_every_number_of_steps(build, weight_bits, tokens):
    rng = np.random.default_rng(0)
    for steps in range(1, 18):
        width = steps * (8 if weight_bits == 4 else 4)
        rows, weights = int8(rng, tokens, width), int8(rng, 2, width) >> (8 - weight_bits)
        product(build, weight_bits, rows, weights, np.zeros((2, tokens), np.int64))


@pytest.mark.parametrize("build", [build for build in BUILDS if build != "cortex-m55"])
@given(rng=seeds, token=st.integers(0, 3), width=widths)
def test_inner_loop_for_one_token_takes_any_of_a_block(build, rng, token, width):
    rows, weights = int8(rng, 4, width), int8(rng, 2, width)
    block = token_block(build, rows)
    block = np.append(block[2 * token :], np.zeros(2 * token, block.dtype))
    wanted = weights.astype(np.int64) @ rows[token].astype(np.int64)
    assert_leaves(
        build, wanted, "McuformerDot1x2", block, pack_weights(weights), -(-width // 4),
        Buffer(np.zeros(2, np.int32)),
    )  # fmt: skip
