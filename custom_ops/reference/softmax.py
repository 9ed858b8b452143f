"""Softmax over the last axis, as TFLite's reference kernel. Twin of ``custom_ops/kernels/softmax``.

The arithmetic is gemmlowp's fixed point: exponentials by a Taylor series around -1/8 and a
product of tabulated powers, the reciprocal by three steps of Newton's method.
"""

from __future__ import annotations

import math

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    multiply_by_quantized_multiplier,
    rounding_divide_by_pot,
)

MAX_WIDTH = 2047
_DIFFERENCE_INTEGER_BITS = 5
_SUM_INTEGER_BITS = 12
# exp(-2^k) in 31 fractional bits, for the bits k = -2, -1, ... of a difference.
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def softmax(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Returns the probabilities of each row.

    Args:
        x: int8[rows, width], width at most 2047.
        table: int32[256], from ``softmax_table``.

    Returns:
        int8[rows, width] of scale 1 / 256 and zero point -128.
    """
    wide = x.astype(np.int64)
    exponentials = table.astype(np.int64)[wide - wide.max(-1, keepdims=True) + 255]
    total = rounding_divide_by_pot(exponentials, _SUM_INTEGER_BITS).sum(-1, keepdims=True)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    reciprocal = _reciprocal_of_one_plus((total << headroom) - (1 << 31))
    scaled = _multiply(reciprocal, exponentials)
    last = 31 - 8 + _SUM_INTEGER_BITS - headroom
    # Nothing is negative, and ``last`` may exceed the 31 bits that the function allows.
    rounded = (scaled + (np.int64(1) << (last - 1))) >> last
    return (np.minimum(rounded, 255) - 128).astype(np.int8)


def softmax_table(input_scale: float, beta: float = 1.0) -> np.ndarray:
    """Returns int32[256]: exp of the difference d <= 0 to the greatest value, at d + 255.

    Args:
        input_scale: Scale of the input.
        beta: Factor of the differences.

    Raises:
        ValueError: If the scale is too small for TFLite's arithmetic.
    """
    # The scale that a model file holds.
    real = float(np.float32(input_scale)) * float(np.float32(beta))
    real = min(real * (1 << (31 - _DIFFERENCE_INTEGER_BITS)), 2.0**31 - 1)
    mantissa, shift = math.frexp(real)
    multiplier = round(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if real == 0 or shift < 0:
        raise ValueError(
            f"input_scale * beta is {input_scale * beta}; TFLite needs at least 2^-27."
        )
    radius = math.floor(
        ((1 << _DIFFERENCE_INTEGER_BITS) - 1) * 2.0 ** (31 - _DIFFERENCE_INTEGER_BITS - shift)
    )
    difference = np.arange(-255, 1)
    inside = difference >= -radius
    shifted = np.where(inside, difference, 0) << np.int64(shift)
    scaled = multiply_by_quantized_multiplier(shifted, multiplier, 0)
    return np.where(inside, _exp_on_negative(scaled), 0).astype(np.int32)


def _multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    # round(a * b / 2^31).
    return multiply_by_quantized_multiplier(a, b, 0)


def _exp_on_negative(x: np.ndarray) -> np.ndarray:
    # x has 5 bits before the point; so the quarter is bit 24 and one is bit 26.
    fraction_bits = 31 - _DIFFERENCE_INTEGER_BITS
    quarter = 1 << (fraction_bits - 2)
    remainder = (x & (quarter - 1)) - quarter
    result = _exp_on_last_quarter(remainder << _DIFFERENCE_INTEGER_BITS)
    whole = remainder - x
    for bit, power in enumerate(_POWERS, fraction_bits - 2):
        result = np.where(whole & (1 << bit), _multiply(result, power), result)
    return np.where(x == 0, INT32_MAX, result)


def _exp_on_last_quarter(x: np.ndarray) -> np.ndarray:
    # On [-1/4, 0): exp(-1/8) times the series of exp(x + 1/8) up to the fourth power.
    exp_of_minus_eighth, third = 1895147668, 715827883
    x = x + (1 << 28)
    square = _multiply(x, x)
    cube, fourth = _multiply(square, x), _multiply(square, square)
    higher = _multiply(rounding_divide_by_pot(fourth, 2) + cube, third) + square
    series = x + rounding_divide_by_pot(higher, 1)
    return exp_of_minus_eighth + _multiply(series, exp_of_minus_eighth)


def _reciprocal_of_one_plus(x: np.ndarray) -> np.ndarray:
    half = (x + INT32_MAX + 1) >> 1
    root = 1515870810 + _multiply(half, -1010580540)  # 48/17 - 32/17 half
    for _ in range(3):
        rest = (1 << 29) - _multiply(half, root)
        root = root + np.clip(_multiply(root, rest) << 2, INT32_MIN, INT32_MAX)
    return np.clip(root << 1, INT32_MIN, INT32_MAX)
