"""Sum of two tensors, as TFLite's reference kernel. Twin of ``custom_ops/kernels/add``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    saturate,
)

# Fractional bits of a summand, as TFLite takes them.
_LEFT_SHIFT = {"int8": 20, "int16": 15}


def add(
    first: np.ndarray,
    second: np.ndarray,
    first_zero_point: int,
    first_multiplier: int,
    first_shift: int,
    second_zero_point: int,
    second_multiplier: int,
    second_shift: int,
    output_zero_point: int,
    output_multiplier: int,
    output_shift: int,
) -> np.ndarray:
    """Adds element by element; the factors come from ``add_options``.

    Args:
        first: int8 or int16, any shape.
        second: Of the same shape and type.
        first_zero_point: Zero point of ``first``.
        first_multiplier: From the scale of ``first`` to twice the greater scale; at most 1/2.
        first_shift: Of the multiplier.
        second_zero_point: Zero point of ``second``.
        second_multiplier: The same for ``second``.
        second_shift: Of the multiplier.
        output_zero_point: Zero point of the output.
        output_multiplier: From the shared units to the output's; below 1.
        output_shift: Of the multiplier.

    Returns:
        The sum, of the same shape and type.
    """
    left_shift = _LEFT_SHIFT[str(first.dtype)]

    def rescale(x: np.ndarray, zero_point: int, multiplier: int, shift: int) -> np.ndarray:
        shifted = (x.astype(np.int64) - zero_point) << left_shift
        return multiply_by_quantized_multiplier(shifted, multiplier, shift)

    total = rescale(first, first_zero_point, first_multiplier, first_shift)
    total = total + rescale(second, second_zero_point, second_multiplier, second_shift)
    total = multiply_by_quantized_multiplier(total, output_multiplier, output_shift)
    return saturate(total + output_zero_point, first.dtype.type)


def add_options(
    first_scale: float,
    first_zero_point: int,
    second_scale: float,
    second_zero_point: int,
    output_scale: float,
    output_zero_point: int,
    dtype: str = "int8",
) -> dict[str, int]:
    """Returns the options of ``add`` for tensors of these scales and zero points.

    Raises:
        ValueError: If the output's scale is too small for TFLite's arithmetic.
    """
    scales = {"first": first_scale, "second": second_scale, "output": output_scale}
    # The scales that a model file holds.
    first, second, output = (float(np.float32(scale)) for scale in scales.values())
    shared = 2 * max(first, second)
    factors = {
        "first": first / shared,
        "second": second / shared,
        "output": shared / (output * (1 << _LEFT_SHIFT[dtype])),
    }
    if factors["output"] >= 1:
        raise ValueError(f"output_scale is {output_scale}, too small beside the inputs' scales.")
    zero_points = (first_zero_point, second_zero_point, output_zero_point)
    options: dict[str, int] = {}
    for (name, factor), zero_point in zip(factors.items(), zero_points, strict=True):
        multiplier, shift = quantize_multiplier(factor)
        options |= {
            f"{name}_zero_point": zero_point,
            f"{name}_multiplier": multiplier,
            f"{name}_shift": shift,
        }
    return options
