"""Sizes of several token blocks. Twin of ``custom_ops/kernels/token_blocks.h``."""

from __future__ import annotations

from mcuformer_tflm.custom_ops.reference.dot import (
    BLOCK_TOKENS,
    packed_weight_bytes,
    round_up,
    token_block_bytes,
)

STAGED_UNITS = 16
# The most that the option ``block_tokens`` may say.
MAX_BLOCK_TOKENS = 1 << 12
_BYTES_PER_UNIT = 12
_BYTES_PER_SUM = 4


def tokens_at_once(tokens: int, block_tokens: int) -> int:
    """Returns how many tokens an operator holds as blocks at once (``TokensAtOnce``).

    Args:
        tokens: Of its input.
        block_tokens: Its option, a multiple of 4.
    """
    return min(block_tokens, round_up(tokens, BLOCK_TOKENS))


def token_blocks_bytes(tokens: int, width: int) -> int:
    """Returns the bytes of blocks that hold so many tokens (``TokenBlocksBytes``)."""
    return token_block_bytes(width) * (round_up(tokens, BLOCK_TOKENS) // BLOCK_TOKENS)


def stage_bytes(at_once: int, width: int) -> int:
    """Returns the bytes of staged weights (``StageBytes``); a single block stages nothing.

    Args:
        at_once: Tokens that they serve (``tokens_at_once``).
        width: Of the widest layer's input.
    """
    if at_once <= BLOCK_TOKENS:
        return 0
    weights = packed_weight_bytes(STAGED_UNITS, width)
    return weights + STAGED_UNITS * _BYTES_PER_UNIT + _BYTES_PER_SUM * at_once
