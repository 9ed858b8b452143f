"""The convolutions that make tokens of an image, by their sizes."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.custom_ops.reference.conv_stem import KERNEL_SIZE, stem_channels
from mcuformer_tflm.keras_models.architecture import Architecture


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
    height, width, channels = arch.image_shape
    if arch.stem == "patch":
        return [Convolution(arch.embed_dim, arch.patch_size**2 * channels, arch.num_tokens)]
    found = []
    for units in stem_channels(arch.embed_dim, arch.patch_size):
        height, width = -(-height // 2), -(-width // 2)
        found.append(Convolution(units, KERNEL_SIZE**2 * channels, height * width))
        channels = units
    return [*found, Convolution(arch.embed_dim, channels, arch.num_tokens)]
