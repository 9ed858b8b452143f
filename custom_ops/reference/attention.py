"""Integer attention, heads streamed. Twin of ``custom_ops/kernels/attention``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.dot import (
    BLOCK_TOKENS,
    pack_weights,
    packed_weight_bytes,
    round_up,
    token_block_bytes,
)
from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    saturate,
)
from mcuformer_tflm.custom_ops.reference.token_blocks import (
    stage_bytes,
    token_blocks_bytes,
    tokens_at_once,
)

MAX_TOKENS = 2048
MAX_HEADS = 512
MAX_HEAD_DIM = 512
TABLE_SIZE = 256
# A probability of one, and the exponential of zero; both stay one below it.
PROBABILITY_ONE = 1 << 15


def exp_table(logit_step: float) -> np.ndarray:
    """Returns int16[256]: 32767 * exp(-d * logit_step) for d = 0 .. 255.

    Args:
        logit_step: Size of one integer logit, in nats.
    """
    steps = np.arange(TABLE_SIZE)
    return np.rint((PROBABILITY_ONE - 1) * np.exp(-steps * float(logit_step))).astype(np.int16)


def row_softmax(logits: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Returns probabilities in units of 2^-15, at most 32767.

    The exponential of a logit's distance from its row's greatest is looked up (0 beyond the
    table's end is its last entry); the row's sum is inverted with 16 bits.

    Args:
        logits: int[..., tokens] within int16's range.
        table: int16[256] (``exp_table``).
    """
    distance = logits.max(-1, keepdims=True) - logits
    exponential = table[np.minimum(distance, TABLE_SIZE - 1)].astype(np.int64)
    total = exponential.sum(-1, keepdims=True)
    power = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1
    normalised = np.where(
        power >= 15, total >> np.maximum(power - 15, 0), total << np.maximum(15 - power, 0)
    )
    inverse = (1 << 31) // normalised
    scaled = (exponential * inverse + (np.int64(1) << power)) >> (power + 1)
    return np.minimum(scaled, PROBABILITY_ONE - 1)


def attention(
    qkv: np.ndarray,
    table: np.ndarray,
    num_heads: int,
    head_dim: int,
    output_zero_point: int,
    score_multiplier: int,
    score_shift: int,
    context_multiplier: int,
    context_shift: int,
    position_bias: np.ndarray | None = None,
    grid: int = 0,
    grid_columns: int | None = None,
) -> np.ndarray:
    """Attends from every token to every token.

    Queries, keys and values have zero point 0. The operator computes them itself from the
    tokens where it holds the weights: ``fully_connected``, of a low-rank pair twice, on
    ``layer_norm``.

    Args:
        qkv: int8[tokens, 3 * num_heads * head_dim]: queries, keys, values, head by head.
        table: int16[256] (``exp_table``).
        num_heads: Number of heads.
        head_dim: Width of a head.
        output_zero_point: Zero point of the context.
        score_multiplier: From q k products to integer logits, 1/sqrt(head_dim) included.
        score_shift: Of that multiplier.
        context_multiplier: From 2^-15 times value to the output's scale.
        context_shift: Of that multiplier.
        position_bias: int16 added to the integer logits, of each head
            (2 * rows - 1) * (2 * columns - 1) by the rows and columns from the query's patch to
            the key's, and, where a class token precedes the patches, three more: from it to a
            patch, from a patch to it, and for it alone; or None.
        grid: Rows of patches.
        grid_columns: Patches in a row; None for as many as there are rows.

    Returns:
        int8[tokens, num_heads * head_dim].
    """
    tokens = len(qkv)
    parts = qkv.astype(np.int64).reshape(tokens, 3, num_heads, head_dim).transpose(1, 2, 0, 3)
    query, key, value = parts
    scores = query @ key.transpose(0, 2, 1)
    logits = multiply_by_quantized_multiplier(scores, score_multiplier, score_shift)
    if position_bias is not None:
        pairs = _pairs(grid, grid if grid_columns is None else grid_columns, tokens)
        logits = logits + position_bias.reshape(num_heads, -1)[:, pairs].astype(np.int64)
    probability = row_softmax(saturate(logits, np.int16).astype(np.int64), table)
    context = multiply_by_quantized_multiplier(
        probability @ value, context_multiplier, context_shift
    )
    context = context.transpose(1, 0, 2).reshape(tokens, num_heads * head_dim)
    return saturate(context + output_zero_point)


def _pairs(rows: int, columns: int, tokens: int) -> np.ndarray:
    # The place of the bias of each pair of a query and a key, [tokens, tokens].
    row, column = np.divmod(np.arange(rows * columns), columns)
    step = row - row[:, None] + rows - 1, column - column[:, None] + columns - 1
    patches = step[0] * (2 * columns - 1) + step[1]
    if tokens == len(patches):
        return patches
    last = (2 * rows - 1) * (2 * columns - 1)
    pairs = np.full((tokens, tokens), last + 2)
    pairs[0, 1:], pairs[1:, 0], pairs[1:, 1:] = last, last + 1, patches
    return pairs


def pack_qkv(
    weights: np.ndarray,
    constants: np.ndarray,
    num_heads: int,
    head_dim: int,
    weight_bits: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """Packs the projections as the operator reads them: q, k, v of a head side by side.

    Args:
        weights: int8[3 * num_heads * head_dim, width]: queries, keys, values, head by head.
        constants: int32[3 * num_heads * head_dim, 3] in the same order.
        num_heads: Number of heads.
        head_dim: Width of a head.
        weight_bits: 8 or 4.

    Returns:
        int8[bytes] and int32[3 * num_heads * head_dim, 3].
    """
    parts = weights.reshape(3, num_heads, head_dim, -1).swapaxes(0, 1).reshape(
        3 * num_heads, head_dim, -1
    )  # fmt: skip
    packed = [pack_weights(part, weight_bits).reshape(-1) for part in parts]
    ordered = constants.reshape(3, num_heads, head_dim, 3).swapaxes(0, 1)
    return np.concatenate(packed), np.ascontiguousarray(ordered.reshape(-1, 3))


def scratch_bytes(
    tokens: int, head_dim: int, width: int = 0, rank: int = 0, *, block_tokens: int = BLOCK_TOKENS
) -> int:
    """Returns the kernel's scratch (``AttentionScratchBytes``).

    Keys and values of one head, scores of four tokens and their queries; and ``block_tokens``
    tokens of ``width``, normalised, where the operator projects them itself. What a low-rank pair
    has between its layers lies where the scores will be, if that is one block.

    Args:
        tokens: Of the input.
        head_dim: Width of a head.
        width: Of a token, where the operator projects it; otherwise 0.
        rank: Between the layers of a low-rank pair, or 0.
        block_tokens: Tokens that one pass over the projection's weights serves.
    """
    at_once = tokens_at_once(tokens, block_tokens) if width else BLOCK_TOKENS
    ranks = token_blocks_bytes(at_once, rank)
    apart = at_once > BLOCK_TOKENS
    scores = max(
        token_block_bytes(tokens), 0 if apart else ranks, round_up(BLOCK_TOKENS * width, 16)
    )
    return (
        packed_weight_bytes(tokens, head_dim)
        + packed_weight_bytes(head_dim, tokens)
        + scores
        + token_block_bytes(head_dim)
        + token_blocks_bytes(at_once, width)
        + (ranks if apart else 0)
        + stage_bytes(at_once, max(width, rank))
    )
