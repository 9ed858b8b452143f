"""Patch embedding in integers. Twin of ``custom_ops/kernels/patch_embed``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    RESIDUAL_FRACTION_BITS,
    multiply_by_quantized_multiplier,
    residual_add,
    rounding_divide_by_pot,
    saturate,
)


def patch_embed(
    image: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    input_zero_point: int,
    output_zero_point: int,
    position: np.ndarray | None = None,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
    dtype: type[np.signedinteger] = np.int8,
) -> np.ndarray:
    """Convolves with stride = patch size, adds positions.

    An image that is no multiple of the patch is padded with the zero point, the smaller half
    first. The kernel sums over partial convolutions (paper, section 3.2); sums of integers
    do not depend on that order, so this twin takes each patch whole.

    Args:
        image: int8[height, width, channels].
        weights: int8[embed_dim, patch, patch, channels].
        bias: int32[embed_dim], with - input zero point * sum(weights) folded in.
        multiplier: int32[embed_dim], including 2^8 (``residual_add``).
        shift: int8[embed_dim].
        input_zero_point: Zero point of the image.
        output_zero_point: Zero point of the output.
        position: int8[tokens, embed_dim] with zero point 0, or None.
        residual_multiplier: From the positions' scale to the output's, times 2^8.
        residual_shift: Of that multiplier.
        dtype: int8 or int16, of the output.

    Returns:
        [tokens, embed_dim] of ``dtype``, tokens row by row.
    """
    embed_dim, patch = weights.shape[:2]
    height, width, channels = image.shape
    pads = [((-size % patch) // 2, -size % patch - (-size % patch) // 2)
            for size in (height, width)]  # fmt: skip
    padded = np.pad(image, [*pads, (0, 0)], constant_values=input_zero_point).astype(np.int64)
    rows, columns = padded.shape[0] // patch, padded.shape[1] // patch
    patches = padded.reshape(rows, patch, columns, patch, channels).transpose(0, 2, 1, 3, 4)
    accumulator = (
        patches.reshape(rows * columns, -1) @ weights.reshape(embed_dim, -1).T.astype(np.int64)
        + bias
    )
    if position is None:
        output = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
        output = rounding_divide_by_pot(output, RESIDUAL_FRACTION_BITS)
    else:
        output = residual_add(
            accumulator, multiplier, shift, position, 0, residual_multiplier, residual_shift
        )
    return saturate(output + output_zero_point, dtype)
