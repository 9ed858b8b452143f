"""Integer layer normalisation. Twin of ``custom_ops/kernels/layer_norm``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import saturate
from mcuformer_tflm.custom_ops.reference.integer_sqrt import integer_sqrt

MAX_WIDTH = 1024
MAX_NORMALISED_BITS = 22
MAX_BETA = 2**30
MAX_EPSILON = 2**31 - 1


def layer_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    normalised_bits: int,
    epsilon: int = 0,
    iterations: int = 4,
) -> np.ndarray:
    """Normalises each token in integers (paper, section 3.2 and algorithm 1).

    With w the width, c = w x - sum(x) and V = w sum(x^2) - sum(x)^2 + epsilon, the normalised
    value is c / sqrt(V) exactly, since c = w (x - mean) and V = w^2 variance; neither scale
    nor zero point of the input enters. V is shifted evenly into [2^30, 2^32), so that the
    root has 16 bits whatever the variance, and c by half as much.

    Args:
        x: int8 or int16[tokens, width], width at most 1024.
        gamma: int16[width], from ``fold_layer_norm``.
        beta: int32[width], from ``fold_layer_norm``.
        normalised_bits: Fractional bits of a normalised value, in [0, 22].
        epsilon: Added to V; in [0, 2^31).
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
    up = np.where(occupied, (32 - bits) & ~1, 0)  # an even shift, rightwards where negative
    mantissa = np.where(up >= 0, variance << np.maximum(up, 0), variance >> np.maximum(-up, 0))
    root = integer_sqrt(np.where(occupied, mantissa, 1 << 30), iterations)
    # sqrt(V) = root / 2^(up / 2), so shifted by k = up / 2 + 9 it is root * 2^9.
    inverse = ((1 << 46) // root) >> (23 - normalised_bits)
    product = (centred << (up // 2 + 9)) * inverse
    normalised = np.where(occupied, (product + (1 << 31)) >> 32, 0)
    scaled = ((normalised * gamma.astype(np.int64)) >> 16) + beta.astype(np.int64)
    return saturate(scaled >> 8)


def fold_layer_norm(
    gamma: np.ndarray, beta: np.ndarray, output_scale: float, output_zero_point: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Turns real gains and shifts into the operator's constants.

    The normalised value gets as many fractional bits as bring the greatest gain into
    [2^14, 2^15); its rounding then stays below 1/1000 of an output unit.

    Args:
        gamma: float[width].
        beta: float[width].
        output_scale: Scale of the output.
        output_zero_point: Zero point of the output.

    Returns:
        int16[width], int32[width] and ``normalised_bits``.
    """
    gain = np.asarray(gamma, np.float64) / output_scale
    # frexp: the greatest gain lies in [2^(exponent - 1), 2^exponent).
    exponent = int(np.frexp(np.abs(gain).max())[1])
    normalised_bits = int(np.clip(9 + exponent, 0, MAX_NORMALISED_BITS))
    fixed_gain = np.clip(np.rint(np.ldexp(gain, 24 - normalised_bits)), -(2**15), 2**15 - 1)
    shift = np.rint(np.asarray(beta, np.float64) / output_scale * 256)
    shift = np.clip(shift + 256 * output_zero_point + 128, -MAX_BETA, MAX_BETA)
    return fixed_gain.astype(np.int16), shift.astype(np.int32), normalised_bits
