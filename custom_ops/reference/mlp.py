"""A block's whole MLP in integers. Twin of ``custom_ops/kernels/mlp``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected
from mcuformer_tflm.custom_ops.reference.layer_norm import layer_norm
from mcuformer_tflm.custom_ops.reference.token_blocks import (
    stage_bytes,
    token_blocks_bytes,
    tokens_at_once,
)

Layer = tuple[np.ndarray, np.ndarray]


def mlp(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    gelu_table: np.ndarray,
    layers: Sequence[Layer],
    norm: Mapping[str, int],
    hidden_zero_point: int,
    output_zero_point: int,
    residual_zero_point: int,
    residual_multiplier: int,
    residual_shift: int,
    fc1_rank_zero_point: int = 0,
    fc2_rank_zero_point: int = 0,
) -> np.ndarray:
    """Normalises, expands, applies GELU, contracts, adds the residual.

    Args:
        x: int8 or int16[tokens, width].
        gamma: int16[width], as for ``layer_norm``.
        beta: int32[width], as for ``layer_norm``.
        gelu_table: int8[256] (``gelu_table``).
        layers: (weights, constants) as for ``fully_connected`` of fc1_u, fc1_v, fc2_u, fc2_v,
            or of fc1 and fc2 without low rank.
        norm: Further arguments of ``layer_norm``.
        hidden_zero_point: Of the hidden layer, before GELU.
        output_zero_point: Of the output.
        residual_zero_point: Of ``x`` as the residual.
        residual_multiplier: From the scale of ``x`` to the output's, times 2^8.
        residual_shift: Of that multiplier.
        fc1_rank_zero_point: Between fc1_u and fc1_v.
        fc2_rank_zero_point: Between fc2_u and fc2_v.

    Returns:
        [tokens, width] of the type of ``x``.
    """
    low_rank = len(layers) == 4
    remaining = list(layers)
    y = layer_norm(x, gamma, beta, **norm)
    if low_rank:
        y = fully_connected(y, *remaining.pop(0), fc1_rank_zero_point)
    y = fully_connected(y, *remaining.pop(0), hidden_zero_point, gelu_table)
    if low_rank:
        y = fully_connected(y, *remaining.pop(0), fc2_rank_zero_point)
    return fully_connected(
        y, *remaining.pop(0), output_zero_point, residual=x,
        residual_zero_point=residual_zero_point, residual_multiplier=residual_multiplier,
        residual_shift=residual_shift,
    )  # fmt: skip


def scratch_bytes(
    width: int,
    hidden: int,
    rank: int = 0,
    *,
    tokens: int = BLOCK_TOKENS,
    block_tokens: int = BLOCK_TOKENS,
) -> int:
    """Returns the kernel's scratch (``MlpScratchBytes``).

    Args:
        width: Of a token.
        hidden: Of the hidden layer.
        rank: Of both low-rank pairs.
        tokens: Of the input; they count where ``block_tokens`` is not 4.
        block_tokens: Tokens that one pass over the weights serves.
    """
    at_once, normalised = tokens_at_once(tokens, block_tokens), BLOCK_TOKENS * width
    source, wide = (token_blocks_bytes(at_once, size) for size in (width, hidden))
    if rank == 0:
        blocks = source + max(wide, normalised)
    else:
        blocks = max(token_blocks_bytes(at_once, rank), normalised) + max(wide, source)
    return blocks + stage_bytes(at_once, max(width, hidden, rank))
