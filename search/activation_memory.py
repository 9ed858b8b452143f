"""The arena of a subnet, computed from its architecture alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from mcuformer_tflm.custom_ops.reference import attention, fully_connected, mlp, patch_embed
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.tflm_arena import STATE_BYTES, ArenaContent, tflm_arena

Image = Literal["whole", "strips"]

_ALIGNMENT = 16


def head_bytes(architecture: Architecture, image: Image = "whole") -> int:
    """Returns the bytes of activations and scratch that our memory plan needs, int8.

    The largest sum of live buffers over the operators of the exported graph, each rounded up
    to 16 bytes. This is measured memory, not the paper's Eq. 5: it counts the image, the
    residual stream, attention and scratch, and leaves weights in flash.

    Args:
        architecture: The network.
        image: Whether the arena holds the image or a strip of ``patch_size`` rows of it.
    """
    return max(total for _, total in live_bytes(architecture, image))


def arena_bytes(architecture: Architecture, image: Image = "whole") -> int:
    """Returns the tensor arena that a subnet needs on a Cortex-M under TFLM and our planner.

    Known before the subnet exists. Equal to what its converted model then needs, byte for
    byte, unless two of its constants happen to be equal and share a tensor (then 12 to 36
    bytes more).

    Args:
        architecture: The network.
        image: Whether the arena holds the image or a strip of it.
    """
    low_rank = architecture.rank_ratio is not None
    content = arena_content(architecture.depth, head_bytes(architecture, image), low_rank)
    return tflm_arena(content).total


def arena_content(depth: int, head: int, low_rank: bool = True) -> ArenaContent:
    """Returns what the exported graph of a network of that depth makes TFLM keep.

    Args:
        depth: Number of blocks.
        head: Bytes of activations and scratch.
        low_rank: Whether the MLP's matrices are pairs of factors.
    """
    block = ("McuformerAttention", "McuformerFullyConnected", "McuformerMlp")
    codes = (
        "McuformerPatchEmbed", *block * depth, "McuformerLayerNorm", "McuformerMeanPool",
        "McuformerFullyConnected",
    )  # fmt: skip
    activations = 1 + len(codes)
    # Patches 3, attention 4, projection 2, MLP 3 and 2 a layer, norm 2, head 2, and one table
    # of exponentials for all.
    mlp_constants = 3 + 2 * (4 if low_rank else 2)
    constants = 3 + (4 + 2 + mlp_constants) * depth + 2 + 2 + 1
    scratch = sum(code not in ("McuformerLayerNorm", "McuformerMeanPool") for code in codes)
    return ArenaContent(
        head,
        activations + constants,
        tuple(STATE_BYTES[code] for code in codes),
        activations + scratch,
        scratch,
    )


def live_bytes(architecture: Architecture, image: Image = "whole") -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive while it runs) in execution order.

    Raises:
        ConfigError: If the network has an option without int8 operators.
    """
    first, *rest = outer_live_bytes(architecture, image)
    yield first
    for block in range(architecture.depth):
        yield from block_live_bytes(architecture, block)
    yield from rest


def block_live_bytes(architecture: Architecture, block: int) -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive) of one block."""
    arch, n, prefix = architecture, architecture.num_tokens, f"block_{block}_"
    dim, attention_dim = arch.embed_dim, arch.attention_dim(block)
    stream, context = _aligned(n * dim), _aligned(n * attention_dim)
    streamed = _aligned(attention.scratch_bytes(n, arch.head_dim, dim))
    yield prefix + "attention", stream + context + streamed
    projection = _aligned(fully_connected.scratch_bytes(attention_dim))
    yield prefix + "projection", stream + context + projection
    hidden = _aligned(mlp.scratch_bytes(dim, arch.hidden_dim(block), arch.rank))
    yield prefix + "mlp", stream + hidden


def outer_live_bytes(
    architecture: Architecture, image: Image = "whole"
) -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive) of the operators before and after the blocks.

    Raises:
        ConfigError: If the network has an option without int8 operators.
    """
    architecture.check_exportable()
    arch, dim = architecture, architecture.embed_dim
    stream = _aligned(arch.num_tokens * dim)
    yield "patch_embed", _patch_embed_bytes(arch, image)
    yield "norm", stream
    yield "mean_pool", stream
    head = _aligned(fully_connected.scratch_bytes(dim))
    yield "head", _aligned(max(dim, arch.num_classes)) + head


def _patch_embed_bytes(arch: Architecture, image: Image, tile: int = 4) -> int:
    size, patch, channels = arch.image_size, arch.patch_size, arch.channels
    rows = size if image == "whole" else patch
    pixels, tokens = _aligned(rows * size * channels), _aligned(arch.num_tokens * arch.embed_dim)
    in_place = image == "whole" and patch_embed.tokens_may_overwrite(
        size, patch, channels, arch.embed_dim
    )
    held = arch.grid_size if in_place else 0
    scratch = _aligned(patch_embed.scratch_bytes(arch.embed_dim, patch, channels, tile, held))
    return scratch + (max(pixels, tokens) if in_place else pixels + tokens)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
