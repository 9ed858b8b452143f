"""Integer layer normalisation. Twin of ``custom_ops/kernels/layer_norm``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    multiply_by_quantized_multiplier,
    saturate,
)
from mcuformer_tflm.custom_ops.reference.integer_sqrt import integer_sqrt

NORMALISED_FRACTION_BITS = 10
MAX_WIDTH = 1024


def layer_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    multiplier: int,
    shift: int,
    output_zero_point: int,
    epsilon: int = 0,
    iterations: int = 4,
) -> np.ndarray:
    """Normalises each token in integers (paper, section 3.2 and algorithm 1).

    With w the width, c = w x - sum(x) and V = w sum(x^2) - sum(x)^2, the normalised value is
    c / sqrt(V) exactly, since c = w (x - mean) and V = w^2 variance; neither scale
    nor zero point of the input enters. V is shifted evenly into [2^30, 2^32), so that the
    root has 16 bits whatever the variance.

    Args:
        x: int8 or int16[tokens, width], width at most 1024.
        gamma: int16[width].
        beta: int32[width], in units of gamma's divided by 2^10.
        multiplier: From gamma's unit / 2^10 to the output's scale.
        shift: Of the multiplier.
        output_zero_point: Of the output.
        epsilon: Added to V.
        iterations: Of the integer square root; 0 goes on until it is fixed.

    Returns:
        int8[tokens, width].
    """
    width = x.shape[-1]
    wide = x.astype(np.int64)
    total = wide.sum(-1, keepdims=True)
    centred = width * wide - total
    variance = width * (wide * wide).sum(-1, keepdims=True) - total * total + epsilon
    occupied = variance > 0
    bits = np.frexp(variance.astype(np.float64))[1].astype(np.int64)  # exact below 2^53
    up = (32 - bits) & ~1  # an even shift, towards the right where negative
    mantissa = np.where(up >= 0, variance << np.maximum(up, 0), variance >> np.maximum(-up, 0))
    root = integer_sqrt(np.where(occupied, mantissa, 1 << 30), iterations)
    inverse = (1 << 31) // root
    # c * inverse / 2^31 = c / root, and sqrt(V) = root / 2^(up / 2).
    right = 31 - NORMALISED_FRACTION_BITS - up // 2
    normalised = (centred * inverse + (np.int64(1) << (right - 1))) >> right
    normalised = np.where(occupied, saturate(normalised, np.int16), 0).astype(np.int64)
    accumulator = normalised * gamma.astype(np.int64) + beta.astype(np.int64)
    accumulator = np.clip(accumulator, INT32_MIN, INT32_MAX)
    output = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    return saturate(output + output_zero_point)
