"""Mean over tokens. Twin of ``custom_ops/kernels/mean_pool``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    saturate,
)


def mean_pool(
    x: np.ndarray, input_zero_point: int, output_zero_point: int, multiplier: int, shift: int
) -> np.ndarray:
    """Averages each column.

    Args:
        x: int8[tokens, width].
        input_zero_point: Zero point of the input.
        output_zero_point: Zero point of the output.
        multiplier: From the input's scale to the output's, divided by the number of tokens.
        shift: Of the multiplier.

    Returns:
        int8[1, width].
    """
    total = (x.astype(np.int64) - input_zero_point).sum(0, keepdims=True)
    return saturate(multiply_by_quantized_multiplier(total, multiplier, shift) + output_zero_point)
