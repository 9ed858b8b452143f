"""Fixed-point arithmetic, as TFLite's reference kernels do it (double rounding).

Twin of ``custom_ops/kernels/fixed_point.h``.
"""

from __future__ import annotations

import math

import numpy as np

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
RESIDUAL_FRACTION_BITS = 8


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Splits a factor into (multiplier, shift): real = multiplier * 2^(shift - 31).

    Args:
        real: A factor, zero or positive.

    Returns:
        Multiplier in [2^30, 2^31) and shift in [-31, 31]; (0, 0) for a factor too small to matter,
        and the greatest for one above 2^31, with which every integer but 0 saturates too.
    """
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = round(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 31:
        return INT32_MAX, 31
    return multiplier, shift


def multiply_by_quantized_multiplier(
    x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """Returns round(x * multiplier * 2^(shift - 31)), int64 within int32's range.

    A left shift comes first and saturates; then the high half of the doubled product, rounded;
    then a rounding right shift. Source: TFLite's ``MultiplyByQuantizedMultiplier``.

    Args:
        x: int32 values, any shape.
        multiplier: int32, broadcast against ``x``.
        shift: In [-31, 31], broadcast against ``x``.
    """
    shift = np.asarray(shift, np.int64)
    shifted = np.asarray(x, np.int64) << np.maximum(shift, 0)
    shifted = np.clip(shifted, INT32_MIN, INT32_MAX)
    product = shifted * np.asarray(multiplier, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C++ divides towards zero.
    high = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return rounding_divide_by_pot(high, np.maximum(-shift, 0))


def rounding_divide_by_pot(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """Returns x / 2^exponent, rounded to nearest, ties away from zero; exponent in [0, 31]."""
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def residual_add(
    accumulator: np.ndarray,
    multiplier: np.ndarray | int,
    shift: np.ndarray | int,
    residual: np.ndarray,
    residual_zero_point: int,
    residual_multiplier: int,
    residual_shift: int,
) -> np.ndarray:
    """Returns the rescaled sum of an accumulator and a residual, int64, zero point not added.

    Both factors include 2^RESIDUAL_FRACTION_BITS, which the last rounding takes out again.
    """
    rescaled = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
    residual = residual.astype(np.int64) - residual_zero_point
    rescaled = rescaled + multiply_by_quantized_multiplier(
        residual, residual_multiplier, residual_shift
    )
    return rounding_divide_by_pot(np.clip(rescaled, INT32_MIN, INT32_MAX), RESIDUAL_FRACTION_BITS)


def saturate(x: np.ndarray, dtype: type[np.signedinteger] = np.int8) -> np.ndarray:
    """Returns ``x`` clipped to an integer type."""
    limits = np.iinfo(dtype)
    return np.clip(x, limits.min, limits.max).astype(dtype)
