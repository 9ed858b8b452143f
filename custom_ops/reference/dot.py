"""Layouts that the kernels' inner loop reads. Twin of ``custom_ops/kernels/dot``."""

from __future__ import annotations

import numpy as np

BLOCK_TOKENS = 4
INT4_OFFSET = 8
# Order in which four bytes hold eight weights of 4 bits, low nibble first.
_INT4_ORDER = (0, 1, 4, 5, 2, 3, 6, 7)


def token_block_bytes(width: int) -> int:
    """Returns the bytes of four tokens of that width at 16 bits (``TokenBlockBytes``)."""
    return 2 * BLOCK_TOKENS * round_up(width, 8)


def packed_weight_bytes(units: int, width: int, weight_bits: int = 8) -> int:
    """Returns the bytes of packed weights (``PackedWeightBytes``)."""
    if weight_bits == 4:
        return round_up(units, 2) * round_up(width, 8) // 2
    return round_up(units, 2) * round_up(width, 4)


def round_up(value: int, multiple: int) -> int:
    """Returns the least multiple that is not below a value."""
    return -(-value // multiple) * multiple


def pack_weights(weights: np.ndarray, weight_bits: int = 8) -> np.ndarray:
    """Packs a matrix as the inner loop reads it: two units side by side, padded with zeros.

    Args:
        weights: int8[units, width]; in [-8, 7] for 4 bits.
        weight_bits: 8 or 4.

    Returns:
        int8[units / 2, width / 4, 2, 4] for 8 bits, int8[units / 2, width / 8, 2, 4] for 4
        bits (bytes of two nibbles, each 8 above its weight), both rounded up.
    """
    step = 8 if weight_bits == 4 else 4
    units, width = weights.shape
    held = weights if weight_bits == 8 else weights + np.int8(INT4_OFFSET)
    padded = np.pad(held, ((0, units % 2), (0, -width % step)))
    grouped = padded.reshape(len(padded) // 2, 2, -1, step).transpose(0, 2, 1, 3)
    if weight_bits == 8:
        return np.ascontiguousarray(grouped)
    nibbles = grouped.astype(np.uint8)[..., _INT4_ORDER]
    return (nibbles[..., ::2] | nibbles[..., 1::2] << 4).view(np.int8)


def unpack_weights(packed: np.ndarray, units: int, width: int, weight_bits: int = 8) -> np.ndarray:
    """Returns int8[units, width] from ``pack_weights``."""
    if weight_bits == 4:
        both = packed.view(np.uint8)
        nibbles = np.stack([both & 15, both >> 4], -1).reshape(*packed.shape[:-1], 8)
        packed = nibbles[..., np.argsort(_INT4_ORDER)].astype(np.int8) - np.int8(INT4_OFFSET)
    rows = packed.transpose(0, 2, 1, 3).reshape(2 * len(packed), -1)
    return np.ascontiguousarray(rows[:units, :width])


def unit_constants(bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Returns int32[units, 3]: bias, multiplier and shift of each unit."""
    return np.stack([bias, multiplier, shift], -1).astype(np.int32)
