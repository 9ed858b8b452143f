"""What makes tokens of an image, by its sizes: convolutions, weights, scratch."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.custom_ops.reference import conv_stem, patch_embed
from mcuformer_tflm.custom_ops.reference.dot import packed_weight_bytes
from mcuformer_tflm.keras_models.architecture import Architecture

OPERATORS = {"patch": "McuformerPatchEmbed", "conv": "McuformerConvStem"}
# Side of the patch embedding's partial convolutions, in pixels.
TILE = 4


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution of a stem.

    Attributes:
        units: Channels of its output.
        width: Values that a unit sums over.
        pixels: Of its output, rows times columns.
    """

    units: int
    width: int
    pixels: int


def convolutions(architecture: Architecture) -> list[Convolution]:
    """Returns the convolutions of a stem in their order; the last gives tokens.

    One as large as a patch, or stages of 3x3 and a projection of 1x1.
    """
    arch = architecture
    if arch.stem == "patch":
        return [Convolution(arch.embed_dim, arch.patch_size**2 * arch.channels, arch.num_tokens)]
    channels = conv_stem.stem_channels(arch.embed_dim, arch.patch_size)
    sizes = conv_stem.convolution_sizes(*arch.image_shape, channels, arch.embed_dim)
    return [Convolution(*size) for size in sizes]


def strip_rows(architecture: Architecture) -> int:
    """Returns the rows of the image that the operator asks for at a time."""
    return conv_stem.STRIP_ROWS if architecture.stem == "conv" else architecture.patch_size


def num_units(architecture: Architecture) -> int:
    """Returns the units of all convolutions."""
    return sum(part.units for part in convolutions(architecture))


def packed_bytes(architecture: Architecture) -> int:
    """Returns the bytes of the weights as the operator has them."""
    arch = architecture
    if arch.stem == "conv":
        return sum(packed_weight_bytes(part.units, part.width) for part in convolutions(arch))
    sides = [min(TILE, arch.patch_size - start) for start in range(0, arch.patch_size, TILE)]
    return sum(packed_weight_bytes(arch.embed_dim, y * x * arch.channels)
               for y in sides for x in sides)  # fmt: skip


def may_overwrite(architecture: Architecture, element_size: int) -> bool:
    """Whether tokens may overwrite a whole image.

    Args:
        architecture: The network.
        element_size: Bytes of a token's value.
    """
    arch, (height, width, channels) = architecture, architecture.image_shape
    twin = conv_stem if arch.stem == "conv" else patch_embed
    return twin.tokens_may_overwrite(
        height, width, arch.patch_size, channels, arch.embed_dim, element_size,
        arch.pooling == "class_token",
    )  # fmt: skip


def scratch_bytes(architecture: Architecture, element_size: int, in_place: bool) -> int:
    """Returns the operator's scratch.

    Args:
        architecture: The network.
        element_size: Bytes of a token's value.
        in_place: Whether tokens overwrite the image.
    """
    arch = architecture
    if arch.stem == "conv":
        stages = conv_stem.stem_channels(arch.embed_dim, arch.patch_size)
        return conv_stem.scratch_bytes(arch.image_width, arch.channels, stages)
    return patch_embed.scratch_bytes(
        arch.embed_dim, arch.patch_size, arch.channels, TILE,
        arch.grid_width if in_place else 0, element_size,
    )  # fmt: skip


def stage_options(architecture: Architecture) -> dict[str, int]:
    """Returns the options that only the operator of this stem has."""
    arch = architecture
    if arch.stem == "conv":
        return conv_stem.stage_options(conv_stem.stem_channels(arch.embed_dim, arch.patch_size))
    return {"tile": TILE}
