"""Fully connected layer in integers. Twin of ``custom_ops/kernels/fully_connected``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    residual_add,
    saturate,
)


def fully_connected(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    output_zero_point: int,
    residual: np.ndarray | None = None,
    residual_zero_point: int = 0,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
) -> np.ndarray:
    """Multiplies each token by the weights, rescales, adds the residual if one is given.

    Args:
        x: int8[tokens, width].
        weights: int8[units, width], symmetric, one scale a unit.
        bias: int32[units], with - input zero point * sum(weights) folded in.
        multiplier: int32[units]; with a residual it includes 2^8 (``residual_add``).
        shift: int8[units].
        output_zero_point: Zero point of the output.
        residual: int8 or int16[tokens, units]; its type is the output's.
        residual_zero_point: Zero point of the residual.
        residual_multiplier: From the residual's scale to the output's, times 2^8.
        residual_shift: Of that multiplier.

    Returns:
        int8[tokens, units], or the residual's type.
    """
    accumulator = x.astype(np.int64) @ weights.astype(np.int64).T + bias
    if residual is None:
        output = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
        return saturate(output + output_zero_point)
    output = residual_add(
        accumulator, multiplier, shift, residual, residual_zero_point, residual_multiplier,
        residual_shift,
    )  # fmt: skip
    return saturate(output + output_zero_point, residual.dtype.type)
