"""A vision transformer of conventional shape, which no search has chosen."""

from __future__ import annotations

from mcuformer_tflm.keras_models.architecture import MAX_DEPTH, Architecture
from mcuformer_tflm.keras_models.checked_values import checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.network import Network


def fixed_vit(
    like: Network, patch_size: int, embed_dim: int, depth: int, num_heads: int
) -> Architecture:
    """Returns a small DeiT (Touvron et al., 2021): every block alike, MLPs of four times the width.

    Whole matrices, no relative positions; the mean of the tokens is read, for which there are
    integer operators, instead of DeiT's class token.

    Args:
        like: The network whose images and classes it takes.
        patch_size: Side of a patch.
        embed_dim: Width of the residual stream, and of all heads together.
        depth: Number of blocks.
        num_heads: Heads of each block.

    Raises:
        ConfigError: If a number is out of range, or the heads do not divide ``embed_dim``.
    """
    embed_dim = checked_whole("embed_dim", embed_dim)
    depth = checked_whole("depth", depth, most=MAX_DEPTH)
    num_heads = checked_whole("num_heads", num_heads)
    if embed_dim % num_heads:
        raise ConfigError(f"num_heads is {num_heads}; it must divide embed_dim, {embed_dim}.")
    return Architecture(
        image_size=like.image_size,
        channels=like.channels,
        num_classes=like.num_classes,
        patch_size=patch_size,
        rank_ratio=None,
        head_dim=embed_dim // num_heads,
        embed_dim=embed_dim,
        num_heads=(num_heads,) * depth,
        mlp_ratio=(4.0,) * depth,
    )
