"""Fully connected layer in integers. Twin of ``custom_ops/kernels/fully_connected``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    residual_add,
    saturate,
)
from mcuformer_tflm.custom_ops.reference.gelu import gelu
from mcuformer_tflm.custom_ops.reference.token_blocks import (
    stage_bytes,
    token_blocks_bytes,
    tokens_at_once,
)

# Of inputs and of units: up to here no sum of int8 products leaves 32 bits.
MAX_WIDTH = 1 << 16


def accumulate(x: np.ndarray, weights: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """Returns int64[tokens, units]: x @ weights.T + bias."""
    return x.astype(np.int64) @ weights.astype(np.int64).T + constants[:, 0]


def fully_connected(
    x: np.ndarray,
    weights: np.ndarray,
    constants: np.ndarray,
    output_zero_point: int,
    gelu_table: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    residual_zero_point: int = 0,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
) -> np.ndarray:
    """Multiplies each token by the weights, rescales, then GELU or a residual if given.

    A low-rank pair (Eq. 1) is this function twice. Weights of 4 bits are weights in [-8, 7].

    Args:
        x: int8[tokens, width].
        weights: int8[units, width], symmetric, one scale a unit.
        constants: int32[units, 3]: bias with - input zero point * sum(weights) folded in,
            multiplier, shift; with a residual the multipliers include 2^8 (``residual_add``).
        output_zero_point: Zero point of the output; before GELU where there is a table.
        gelu_table: int8[256] applied to the output, or None.
        residual: int8 or int16[tokens, units]; its type is the output's.
        residual_zero_point: Zero point of the residual.
        residual_multiplier: From the residual's scale to the output's, times 2^8.
        residual_shift: Of that multiplier.

    Returns:
        int8[tokens, units], or the residual's type.
    """
    accumulator = accumulate(x, weights, constants)
    multiplier, shift = constants[:, 1], constants[:, 2]
    if residual is None:
        output = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
        output = saturate(output + output_zero_point)
        return output if gelu_table is None else gelu(output, gelu_table)
    output = residual_add(
        accumulator, multiplier, shift, residual, residual_zero_point, residual_multiplier,
        residual_shift,
    )  # fmt: skip
    return saturate(output + output_zero_point, residual.dtype.type)


def scratch_bytes(
    width: int, rank: int = 0, *, tokens: int = BLOCK_TOKENS, block_tokens: int = BLOCK_TOKENS
) -> int:
    """Returns the kernel's scratch (``FullyConnectedScratchBytes``).

    Args:
        width: Of the input.
        rank: Between the layers of a low-rank pair.
        tokens: Of the input; they count where ``block_tokens`` is not 4.
        block_tokens: Tokens that one pass over the weights serves.
    """
    at_once = tokens_at_once(tokens, block_tokens)
    blocks = token_blocks_bytes(at_once, width) + token_blocks_bytes(at_once, rank)
    return blocks + stage_bytes(at_once, max(width, rank))
