"""A space for images of any shape, and what a budget leaves of a space."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from mcuformer_tflm.keras_models.architecture import (
    Architecture,
    ImageSize,
    Stem,
    checked_image_size,
    image_shape,
    takes_patches,
)
from mcuformer_tflm.search.space import SearchSpace

# Tokens of a network: fewer see no structure, more take hours to train.
_TOKENS = range(9, 201)
# Patch sizes are chosen near these numbers of tokens.
_WANTED_TOKENS = (144, 49, 16)
# What a patch size may lack, in the logarithm of tokens: what hangs over the border is computed for
# nothing, and convolutions make better tokens of few images than a patch does.
_OVERHANG_WEIGHT, _NO_CONVOLUTION = 0.5, 0.3
_WITHIN_A_SUPERNET = ("embed_dim", "depth", "num_heads", "mlp_ratio", "head_dim")


def image_space(image_size: ImageSize, channels: int = 3, *, num_classes: int) -> SearchSpace:
    """Returns a space for images of a shape, of networks for arenas of some 4 to 130 KiB.

    Patches leave some 144, 49 and 16 tokens, as far as the image allows it. The other factors are
    those of ``FASHION_MNIST_WIDE_SPACE``, which come from what microcontrollers hold.

    Args:
        image_size: Side of a square image, or its (height, width), in pixels.
        channels: Channels of the images.
        num_classes: Number of classes.

    Raises:
        ConfigError: If a number is out of range.
    """
    size = checked_image_size(image_size)
    height, width, _ = image_shape(size, channels)
    patches = tuple(sorted({_patch_size(height, width, wanted) for wanted in _WANTED_TOKENS}))
    convolved = any(takes_patches("conv", patch) for patch in patches)
    stems: tuple[Stem, ...] = ("patch", "conv") if convolved else ("patch",)
    return SearchSpace(
        image_size=size,
        channels=channels,
        num_classes=num_classes,
        patch_size=patches,
        embed_dim=(32, 48, 64, 96, 128, 192),
        depth=(2, 3, 4, 5),
        num_heads=(2, 4, 8, 12),
        mlp_ratio=(1.0, 2.0, 3.0),
        head_dim=(8, 12, 16, 24, 32),
        relative_position=True,
        stem=stems,
    )


def fitting_space(space: SearchSpace, fits: Callable[[Architecture], bool]) -> SearchSpace:
    """Returns a space without the values that no fitting network of it has.

    Supernets are as large as their largest network, so what can never be chosen costs training.

    Args:
        space: Holds a network that fits.
        fits: Whether a network does; it must not fit where a smaller one does not.
    """
    pairs = [pair for pair in space.pairs() if fits(pair.smallest())]
    kept: dict[str, Any] = {
        factor: tuple(
            value
            for value in getattr(space, factor)
            if any(fits(_with(pair, factor, value)) for pair in pairs)
        )
        for factor in _WITHIN_A_SUPERNET
    }
    for factor in ("patch_size", "rank_ratio", "stem"):
        there = {getattr(pair, factor)[0] for pair in pairs}
        kept[factor] = tuple(value for value in getattr(space, factor) if value in there)
    return dataclasses.replace(space, **kept)


def _with(pair: SearchSpace, factor: str, value: Any) -> Architecture:
    """Returns the smallest network of a pair that has a value, of blocks in one of them."""
    if factor in ("num_heads", "mlp_ratio"):
        smallest = pair.smallest()
        changed: dict[str, Any] = {factor: (value, *getattr(smallest, factor)[1:])}
        return dataclasses.replace(smallest, **changed)
    narrowed: dict[str, Any] = {factor: (value,)}
    return dataclasses.replace(pair, **narrowed).smallest()


def _patch_size(height: int, width: int, wanted: int) -> int:
    def tokens(patch: int) -> int:
        return math.ceil(height / patch) * math.ceil(width / patch)

    def lack(patch: int) -> float:
        overhang = tokens(patch) * patch**2 / (height * width) - 1
        lacking = abs(math.log(tokens(patch) / wanted)) + _OVERHANG_WEIGHT * overhang
        return lacking + (0.0 if takes_patches("conv", patch) else _NO_CONVOLUTION)

    sizes = range(1, min(height, width) + 1)
    return min([patch for patch in sizes if tokens(patch) in _TOKENS] or sizes, key=lack)
