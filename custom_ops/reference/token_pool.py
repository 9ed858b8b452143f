"""Mean over square windows of a grid of tokens. Twin of ``custom_ops/kernels/token_pool``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    saturate,
)

# Side of a window: sums of 16-bit differences fit 32 bits.
MAX_SIZE = 16


def token_pool(
    x: np.ndarray,
    columns: int,
    size: int,
    input_zero_point: int,
    output_zero_point: int,
    multiplier: int,
    shift: int,
) -> np.ndarray:
    """Averages each column of ``size`` by ``size`` neighbouring tokens.

    Args:
        x: int8 or int16 [tokens, width], the grid row by row.
        columns: Of the grid; a multiple of ``size``, as its rows are.
        size: Side of a window, in tokens, at most ``MAX_SIZE``.
        input_zero_point: Zero point of the input.
        output_zero_point: Zero point of the output.
        multiplier: From the input's scale to the output's, divided by the tokens of a window.
        shift: Of the multiplier.

    Returns:
        [tokens / size^2, width] of the same type, the windows row by row.
    """
    width = x.shape[-1]
    windows = (x.astype(np.int64) - input_zero_point).reshape(
        -1, size, columns // size, size, width
    )
    total = windows.sum((1, 3)).reshape(-1, width)
    mean = multiply_by_quantized_multiplier(total, multiplier, shift)
    return saturate(mean + output_zero_point, x.dtype.type)
