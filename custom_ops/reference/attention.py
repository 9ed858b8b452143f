"""Integer attention, heads streamed. Twin of ``custom_ops/kernels/attention``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    saturate,
)

MAX_TOKENS = 2048
_TABLE_SIZE = 256
_EXP_ONE = 65535


def exp_table(logit_step: float) -> np.ndarray:
    """Returns uint16[256]: 65535 * exp(-d * logit_step) for d = 0 .. 255.

    Args:
        logit_step: Size of one integer logit, in nats.
    """
    steps = np.arange(_TABLE_SIZE)
    return np.rint(_EXP_ONE * np.exp(-steps * float(logit_step))).astype(np.uint16)


def attention(
    qkv: np.ndarray,
    table: np.ndarray,
    num_heads: int,
    head_dim: int,
    q_zero_point: int,
    k_zero_point: int,
    v_zero_point: int,
    output_zero_point: int,
    score_multiplier: int,
    score_shift: int,
    context_multiplier: int,
    context_shift: int,
) -> np.ndarray:
    """Attends from every token to every token.

    Scores become integer logits; the exponential of a logit's distance from its row's
    greatest is looked up (0 beyond the table's end is its last entry); a probability is a
    multiple of 1/256, at most 255/256.

    Args:
        qkv: int8[tokens, 3 * num_heads * head_dim]: queries, keys, values, head by head.
        table: uint16[256] (``exp_table``).
        num_heads: Number of heads.
        head_dim: Width of a head.
        q_zero_point: Zero point of the queries.
        k_zero_point: Zero point of the keys.
        v_zero_point: Zero point of the values.
        output_zero_point: Zero point of the context.
        score_multiplier: From q k products to integer logits, 1/sqrt(head_dim) included.
        score_shift: Of that multiplier.
        context_multiplier: From probability (1/256) times value to the output's scale.
        context_shift: Of that multiplier.

    Returns:
        int8[tokens, num_heads * head_dim].
    """
    tokens = len(qkv)
    parts = qkv.astype(np.int64).reshape(tokens, 3, num_heads, head_dim).transpose(1, 2, 0, 3)
    query, key, value = parts[0] - q_zero_point, parts[1] - k_zero_point, parts[2] - v_zero_point
    scores = query @ key.transpose(0, 2, 1)
    logits = multiply_by_quantized_multiplier(scores, score_multiplier, score_shift)
    distance = logits.max(-1, keepdims=True) - logits
    exponential = table[np.minimum(distance, _TABLE_SIZE - 1)].astype(np.int64)
    total = exponential.sum(-1, keepdims=True)
    probability = np.minimum((exponential * 256 + total // 2) // total, 255)
    context = multiply_by_quantized_multiplier(
        probability @ value, context_multiplier, context_shift
    )
    context = context.transpose(1, 0, 2).reshape(tokens, num_heads * head_dim)
    return saturate(context + output_zero_point)
