"""Patch embeddings for other patches, other grids and other pixels than they were trained on.

All kernels here are float64[height, width, channels, embed_dim].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def resize_kernel(kernel: np.ndarray, patch_size: int) -> np.ndarray:
    """Returns the kernel for patches of another size, by the pseudo-inverse of resizing.

    Of all kernels it gives the tokens that are nearest to the old ones when images are resized as
    the patches are, bilinearly; where patches grow, the same tokens (Beyer et al., FlexiViT,
    2023, section 3.4).

    Args:
        kernel: Square.
        patch_size: Height and width of the new patches, in pixels.
    """
    side = np.eye(kernel.shape[0], dtype=np.float32)[..., None]
    # Rows and columns are resized by the same matrix, [patch_size, side].
    resize = tf.image.resize(side, (patch_size, kernel.shape[0])).numpy()[..., 0]
    inverse = np.linalg.pinv(resize.T.astype(np.float64))
    return np.einsum("yi,xj,ijcd->yxcd", inverse, inverse, kernel, optimize=True)


def resize_positions(
    position: np.ndarray, grid: tuple[int, int], new_grid: tuple[int, int]
) -> np.ndarray:
    """Returns positions for another grid, by bicubic interpolation, smoothed where it shrinks.

    Args:
        position: float[rows * columns, embed_dim], of patches alone.
        grid: Rows and columns.
        new_grid: Those wanted.

    Returns:
        float32[rows * columns, embed_dim] of the new grid.
    """
    if new_grid == grid:
        return position
    image = position.reshape(*grid, -1)
    resized = tf.image.resize(image, new_grid, method="bicubic", antialias=True)
    return resized.numpy().reshape(-1, position.shape[-1])


def fold_normalisation(
    kernel: np.ndarray, bias: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias that read (byte - 128) / 128 instead of (byte / 255 - mean) / std.

    Args:
        kernel: That reads the latter.
        bias: float64[embed_dim].
        mean: Of each channel.
        std: Of each channel.
    """
    # byte / 255 = (128 * ours + 128) / 255
    grey = 128 / 255
    folded = kernel * (grey / np.asarray(std))[:, None]
    offset = (grey - np.asarray(mean)) / np.asarray(std)
    return folded, bias + np.einsum("yxcd,c->d", kernel, offset)
