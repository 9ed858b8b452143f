"""Patch embedding in integers. Twin of ``custom_ops/kernels/patch_embed``."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.custom_ops.reference.dot import (
    BLOCK_TOKENS,
    pack_weights,
    round_up,
    token_block_bytes,
)
from mcuformer_tflm.custom_ops.reference.fixed_point import (
    RESIDUAL_FRACTION_BITS,
    multiply_by_quantized_multiplier,
    residual_add,
    rounding_divide_by_pot,
    saturate,
)
from mcuformer_tflm.custom_ops.reference.fully_connected import accumulate

# How the operator gets its image, in the order of the kernel's ImageMode.
MODES = ("whole", "in place", "strips")
# Pixels of a patch, times channels.
MAX_PATCH_VALUES = 1 << 16


def tokens_may_overwrite(
    height: int,
    width: int,
    patch_size: int,
    channels: int,
    embed_dim: int,
    element_size: int = 1,
    class_token: bool = False,
    *,
    before: int | None = None,
) -> bool:
    """Whether tokens may overwrite the image they are made of (``TokensMayOverwrite``).

    Each row of patches may give no more bytes than the pixels that no later row needs, with the
    place of a class token before the first.

    Args:
        height: Of the image.
        width: Of the image.
        patch_size: Height and width of a patch.
        channels: Of the image.
        embed_dim: Width of a token.
        element_size: Bytes of a token's value.
        class_token: Whether a class token comes before the patches.
        before: Rows of padding above the image; None where the smaller half of it comes first.
    """
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    if before is None:
        before = (rows * patch_size - height) // 2
    return all(
        (row * columns + class_token) * embed_dim * element_size
        <= min(row * patch_size - before, height) * width * channels
        for row in range(1, rows)
    )


def patch_embed(
    image: np.ndarray,
    weights: np.ndarray,
    constants: np.ndarray,
    input_zero_point: int,
    output_zero_point: int,
    position: np.ndarray | None = None,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
    class_token: np.ndarray | None = None,
    dtype: type[np.signedinteger] = np.int8,
) -> np.ndarray:
    """Convolves with stride = patch size, adds positions.

    An image that is no multiple of the patch is padded with the zero point, the smaller half
    first. The kernel sums over partial convolutions (paper, section 3.2); sums of integers
    do not depend on that order, so this twin takes each patch whole.

    Args:
        image: int8[height, width, channels].
        weights: int8[embed_dim, patch, patch, channels].
        constants: int32[embed_dim, 3]: bias with - input zero point * sum(weights) folded in,
            multiplier including 2^8 (``residual_add``), shift.
        input_zero_point: Zero point of the image.
        output_zero_point: Zero point of the output.
        position: int8[patches, embed_dim] with zero point 0, or None.
        residual_multiplier: From the positions' scale to the output's, times 2^8.
        residual_shift: Of that multiplier.
        class_token: [embed_dim] of ``dtype`` that becomes the first token as it is, or None.
        dtype: int8 or int16, of the output.

    Returns:
        [class token + patches, embed_dim] of ``dtype``, patches row by row.
    """
    embed_dim, patch = weights.shape[:2]
    height, width, channels = image.shape
    pads = [((-size % patch) // 2, -size % patch - (-size % patch) // 2)
            for size in (height, width)]  # fmt: skip
    padded = np.pad(image, [*pads, (0, 0)], constant_values=input_zero_point).astype(np.int64)
    rows, columns = padded.shape[0] // patch, padded.shape[1] // patch
    patches = padded.reshape(rows, patch, columns, patch, channels).transpose(0, 2, 1, 3, 4)
    accumulator = accumulate(
        patches.reshape(rows * columns, -1), weights.reshape(embed_dim, -1), constants
    )
    multiplier, shift = constants[:, 1], constants[:, 2]
    if position is None:
        output = multiply_by_quantized_multiplier(accumulator, multiplier, shift)
        output = rounding_divide_by_pot(output, RESIDUAL_FRACTION_BITS)
    else:
        output = residual_add(
            accumulator, multiplier, shift, position, 0, residual_multiplier, residual_shift
        )
    tokens = saturate(output + output_zero_point, dtype)
    return tokens if class_token is None else np.concatenate([class_token[None], tokens])


def pack_patch_weights(weights: np.ndarray, tile: int) -> np.ndarray:
    """Returns int8[bytes]: the weights of each partial convolution packed, tile by tile.

    Args:
        weights: int8[embed_dim, patch, patch, channels].
        tile: Side of a partial convolution, in pixels.
    """
    embed_dim, patch = weights.shape[:2]
    steps = range(0, patch, tile)
    tiles = [weights[:, y : y + tile, x : x + tile] for y in steps for x in steps]
    return np.concatenate([pack_weights(t.reshape(embed_dim, -1)).reshape(-1) for t in tiles])


def scratch_bytes(
    embed_dim: int,
    patch_size: int,
    channels: int,
    tile: int,
    held_patches: int = 0,
    element_size: int = 1,
) -> int:
    """Returns the kernel's scratch (``PatchEmbedScratchBytes``).

    Args:
        embed_dim: Width of a token.
        patch_size: Side of a patch, in pixels.
        channels: Of the image.
        tile: Side of a partial convolution, in pixels.
        held_patches: Patches of a row where tokens overwrite the image, otherwise 0.
        element_size: Bytes of a token's value.
    """
    side = min(tile, patch_size)
    sums = 4 * BLOCK_TOKENS * round_up(embed_dim, 2)
    held = held_patches * embed_dim * element_size
    return sums + token_block_bytes(side * side * channels) + held
