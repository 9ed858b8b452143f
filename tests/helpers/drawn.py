"""Hypothesis strategies for quantized operators."""

import numpy as np
from hypothesis import strategies as st

from mcuformer_tflm.custom_ops.reference.dot import unit_constants

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
zero_points = st.integers(-128, 127)
multipliers = st.integers(2**30, 2**31 - 1)
# Tokens that one pass over an operator's weights serves.
block_tokens = st.integers(1, 12).map(lambda blocks: 4 * blocks)
# A block, several, all tokens; and tokens of each remainder of those.
BLOCK_TOKENS_MET = (4, 8, 12, 24)
TOKENS_MET = range(9, 21)


def int8(rng, *shape):
    """Returns int8 over its whole range."""
    return rng.integers(-128, 128, shape, dtype=np.int8)


def int16(rng, *shape):
    """Returns int16 over its whole range."""
    return rng.integers(-(2**15), 2**15, shape, dtype=np.int16)


def int4(rng, *shape):
    """Returns int8 within four bits."""
    return rng.integers(-8, 8, shape, dtype=np.int8)


def channel_constants(rng, units, width, extra_bits=0):
    """Returns int32[units, 3] of bias, multiplier, shift that keep most outputs inside int8."""
    bias = rng.integers(-20000, 20000, units)
    multiplier = rng.integers(2**30, 2**31, units)
    center = extra_bits - 7 - int(np.log2(width) / 2)
    shift = rng.integers(center - 3, center + 2, units)
    return unit_constants(bias, multiplier, shift)


def norm(rng, width):
    """Returns gamma, beta and the options of a layer normalisation."""
    gamma = int16(rng, width)
    beta = rng.integers(-(2**14), 2**14, width, dtype=np.int32)
    bits = int(rng.integers(8, 20))
    return gamma, beta, {"normalised_bits": bits, "epsilon": 1, "iterations": 4}


def gelu_table(rng):
    """Returns any table: kernels do not care what is in it."""
    return int8(rng, 256)


def block_option(block_tokens):
    """Returns the option that says so; the least goes without saying."""
    return {} if block_tokens == 4 else {"block_tokens": block_tokens}
