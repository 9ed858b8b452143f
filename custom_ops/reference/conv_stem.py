"""Convolutional stem in integers. Twin of ``custom_ops/kernels/conv_stem``."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.custom_ops.reference import patch_embed
from mcuformer_tflm.custom_ops.reference.dot import (
    pack_weights,
    packed_weight_bytes,
    round_up,
    token_block_bytes,
    unpack_weights,
)
from mcuformer_tflm.custom_ops.reference.fixed_point import (
    multiply_by_quantized_multiplier,
    saturate,
)
from mcuformer_tflm.custom_ops.reference.fully_connected import MAX_WIDTH, accumulate

# A stage halves height and width.
PATCH_SIZES = (4, 8, 16, 32)
KERNEL_SIZE = 3
# Of the image and of a stage: up to here no sum of a convolution leaves 32 bits.
MAX_CHANNELS = MAX_WIDTH // KERNEL_SIZE**2
# No stage gives a value below zero: int8's own lower end is its ReLU.
STAGE_ZERO_POINT = -128
# Rows of the image that are pulled at a time, whatever the patch size.
STRIP_ROWS = 2
# Rows of a stage that are kept.
_RING_ROWS = KERNEL_SIZE


def num_stages(patch_size: int) -> int:
    """Returns how many convolutions of stride 2 have the stride of a patch."""
    return patch_size.bit_length() - 1


def stem_channels(embed_dim: Any, patch_size: int) -> tuple[Any, ...]:
    """Returns the channels of each stage: half as many before each doubling of the stride.

    Those of a narrower ``embed_dim`` are never more, so that it is a leading slice.

    Args:
        embed_dim: Width of a token: a number, or an integer tensor as the channels then are too.
        patch_size: One of ``PATCH_SIZES``.
    """
    stages = num_stages(patch_size)
    # embed_dim / 2^(stages - i), rounded up to fours.
    return tuple(4 * -(-embed_dim // (4 << (stages - i))) for i in range(1, stages + 1))


def stage_options(channels: Sequence[int]) -> dict[str, int]:
    """Returns the operator's options that tell the channels of each stage."""
    return {f"channels_{i}": count for i, count in enumerate(channels, 1)}


def channel_options(patch_size: int) -> tuple[str, ...]:
    """Returns the names of the operator's options that hold the channels of each stage."""
    return tuple(f"channels_{stage}" for stage in range(1, num_stages(patch_size) + 1))


def stage_channels(options: Mapping[str, int]) -> tuple[int, ...]:
    """Returns the channels of each stage from the operator's options."""
    return tuple(options[name] for name in channel_options(options["patch_size"]))


# A row that a later row of tokens needs as well is kept in scratch.
tokens_may_overwrite = functools.partial(patch_embed.tokens_may_overwrite, before=0)


def conv_stem(
    image: np.ndarray,
    kernels: Sequence[np.ndarray],
    projection: np.ndarray,
    constants: np.ndarray,
    input_zero_point: int,
    output_zero_point: int,
    position: np.ndarray | None = None,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
    class_token: np.ndarray | None = None,
    dtype: type[np.signedinteger] = np.int8,
) -> np.ndarray:
    """Convolves with stride 2 in stages, each followed by ReLU, projects, adds positions.

    Around the input of each stage lies one row or column of zeros, so that output i of a line
    is made of the inputs 2i - 1, 2i and 2i + 1, and n inputs give ceil(n / 2) outputs. Between
    stages lies int8 with the zero point ``STAGE_ZERO_POINT``.

    Args:
        image: int8[height, width, channels], at most ``MAX_CHANNELS``.
        kernels: int8[units, 3, 3, channels] of each stage, each with the channels that the one
            before has units, multiples of 4 up to ``MAX_CHANNELS``; log2(patch size) of them.
        projection: int8[embed_dim, units of the last stage].
        constants: int32[units of all stages + embed_dim, 3], in that order: bias with - input
            zero point * sum(weights) folded in, multiplier, shift; those of the projection
            include 2^8 in the multiplier (``residual_add``).
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
    x, zero_point = image, input_zero_point
    for kernel in kernels:
        own, constants = constants[: len(kernel)], constants[len(kernel) :]
        x, zero_point = _stage(x, kernel, own, zero_point), STAGE_ZERO_POINT
    # What is left is a patch embedding of single pixels.
    return patch_embed.patch_embed(
        x, projection[:, None, None], constants, zero_point, output_zero_point, position,
        residual_multiplier, residual_shift, class_token, dtype,
    )  # fmt: skip


def _stage(x: np.ndarray, kernel: np.ndarray, constants: np.ndarray, zero_point: int) -> np.ndarray:
    height, width = (-(-size // 2) for size in x.shape[:2])
    padded = np.pad(x, [(1, 1), (1, 1), (0, 0)], constant_values=zero_point)
    taps = [
        padded[row : row + 2 * height : 2, column : column + 2 * width : 2][:height, :width]
        for row in range(KERNEL_SIZE)
        for column in range(KERNEL_SIZE)
    ]
    pixels = np.stack(taps, 2).reshape(height * width, -1)
    accumulator = accumulate(pixels, kernel.reshape(len(kernel), -1), constants)
    output = multiply_by_quantized_multiplier(accumulator, constants[:, 1], constants[:, 2])
    return saturate(output + STAGE_ZERO_POINT).reshape(height, width, -1)


def pack_stem_weights(kernels: Sequence[np.ndarray], projection: np.ndarray) -> np.ndarray:
    """Returns int8[bytes]: the weights of each stage packed, then those of the projection.

    Args:
        kernels: int8[units, 3, 3, channels] of each stage.
        projection: int8[embed_dim, units of the last stage].
    """
    matrices = [*(kernel.reshape(len(kernel), -1) for kernel in kernels), projection]
    return np.concatenate([pack_weights(matrix).reshape(-1) for matrix in matrices])


def unpack_stem_weights(
    packed: np.ndarray, image_channels: int, channels: Sequence[int], embed_dim: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Returns kernels and projection from ``pack_stem_weights``.

    Args:
        packed: int8[bytes].
        image_channels: Of the image.
        channels: Of each stage.
        embed_dim: Width of a token.
    """
    matrices, start = [], 0
    for units, width in matrix_shapes(image_channels, channels, embed_dim):
        size = packed_weight_bytes(units, width)
        rows = packed[start : start + size].reshape(-(-units // 2), -1, 2, 4)
        matrices.append(unpack_weights(rows, units, width))
        start += size
    *kernels, projection = matrices
    return [k.reshape(len(k), KERNEL_SIZE, KERNEL_SIZE, -1) for k in kernels], projection


def matrix_shapes(
    image_channels: int, channels: Sequence[int], embed_dim: int
) -> Iterator[tuple[int, int]]:
    """Yields (units, width) of each stage's matrix, then of the projection's."""
    for before, units in zip((image_channels, *channels), channels, strict=False):
        yield units, KERNEL_SIZE**2 * before
    yield embed_dim, channels[-1]


def convolution_sizes(
    height: int, width: int, image_channels: int, channels: Sequence[int], embed_dim: int
) -> Iterator[tuple[int, int, int]]:
    """Yields (units, values that one sums over, pixels) of each stage, then of the projection.

    Args:
        height: Of the image.
        width: Of the image.
        image_channels: Of the image.
        channels: Of each stage.
        embed_dim: Width of a token.
    """
    *stages, projection = matrix_shapes(image_channels, channels, embed_dim)
    for units, values in stages:
        height, width = -(-height // 2), -(-width // 2)
        yield units, values, height * width
    yield *projection, height * width


def scratch_bytes(width: int, image_channels: int, channels: Sequence[int]) -> int:
    """Returns the kernel's scratch (``ConvStemScratchBytes``), the same in each mode.

    Args:
        width: Of the image.
        image_channels: Of the image.
        channels: Of each stage.
    """
    taps = KERNEL_SIZE**2 * max(image_channels, *channels[:-1])
    blocks = token_block_bytes(taps) + max(token_block_bytes(channels[-1]), round_up(taps, 4) + 4)
    kept = width * image_channels
    rows = 0
    for count in channels[:-1]:
        width = -(-width // 2)
        rows += _RING_ROWS * width * count
    return blocks + kept + rows
