"""Sigmoid-GELU by table. Twin of ``custom_ops/kernels/gelu``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import saturate


def gelu(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Looks every value up.

    Args:
        x: int8, any shape.
        table: int8[256], the entry of value v at v + 128 (``gelu_table``).

    Returns:
        int8 of the same shape.
    """
    return table[x.astype(np.int64) + 128]


def gelu_table(
    input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int
) -> np.ndarray:
    """Returns int8[256]: x * sigmoid(1.702 x) of every int8 value (paper, Eq. 7 as intended).

    Args:
        input_scale: Scale of the input.
        input_zero_point: Zero point of the input.
        output_scale: Scale of the output.
        output_zero_point: Zero point of the output.
    """
    x = (np.arange(-128, 128) - input_zero_point) * float(input_scale)
    y = x / (1 + np.exp(-1.702 * x))
    return saturate(np.rint(y / output_scale) + output_zero_point)
