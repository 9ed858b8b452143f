"""Hypothesis strategies for quantized operators."""

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
zero_points = st.integers(-128, 127)
multipliers = st.integers(2**30, 2**31 - 1)


def int8(rng, *shape):
    """Returns int8 over its whole range."""
    return rng.integers(-128, 128, shape, dtype=np.int8)


def int16(rng, *shape):
    """Returns int16 over its whole range."""
    return rng.integers(-(2**15), 2**15, shape, dtype=np.int16)


def channel_constants(rng, units, width, extra_bits=0):
    """Returns (bias, multiplier, shift) that keep most outputs inside int8."""
    bias = rng.integers(-20000, 20000, units, dtype=np.int32)
    multiplier = rng.integers(2**30, 2**31, units, dtype=np.int64).astype(np.int32)
    center = extra_bits - 7 - int(np.log2(width) / 2)
    shift = rng.integers(center - 3, center + 2, units, dtype=np.int8)
    return bias, multiplier, shift
