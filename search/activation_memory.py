"""The arena's head of a subnet, computed from its architecture alone."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer_tflm.custom_ops.reference import attention, fully_connected, mlp, patch_embed
from mcuformer_tflm.keras_models.architecture import Architecture

_ALIGNMENT = 16
# Sizes of TFLM's structures where pointers have 4 bytes.
_EVAL_TENSOR_BYTES = 12
_NODE_BYTES = 32
_NODE_DATA_BYTES = 128
_ALLOCATION_INFO_BYTES = 24
_PLANNER_ENTRY_BYTES = 40
# TFLM's own objects; measured on a 64-bit machine at 850 to 900, so an upper bound.
_FIXED_BYTES = 1024


def head_bytes(architecture: Architecture) -> int:
    """Returns the bytes of activations and scratch that our memory plan needs, int8.

    The largest sum of live buffers over the operators of the exported graph, each rounded up
    to 16 bytes. This is measured memory, not the paper's Eq. 5: it counts the residual
    stream, attention and scratch, and leaves weights in flash.

    Args:
        architecture: The network.
    """
    return max(total for _, total in live_bytes(architecture))


def arena_bytes(architecture: Architecture) -> int:
    """Returns the tensor arena that a subnet needs on a Cortex-M under TFLM, at most.

    The head exactly; TFLM's tables at their 32-bit sizes; its other objects and its working
    memory while planning as measured, rounded up. Used to choose subnets before they exist.

    Args:
        architecture: The network.
    """
    depth = architecture.depth
    operators, scratch = 3 * depth + 4, 3 * depth + 3
    activations = operators + 1
    constants = 4 + 17 * depth + 4
    tail = (
        _EVAL_TENSOR_BYTES * (activations + constants)
        + _NODE_BYTES * operators
        + _NODE_DATA_BYTES * operators
        + _FIXED_BYTES
    )
    planning = (
        _ALLOCATION_INFO_BYTES * (activations + constants + scratch)
        + _PLANNER_ENTRY_BYTES * (activations + scratch)
        + _FIXED_BYTES
    )
    return max(head_bytes(architecture), planning) + tail


def live_bytes(architecture: Architecture) -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive while it runs) in execution order."""
    arch, n = architecture, architecture.num_tokens
    dim = arch.embed_dim
    stream = _aligned(n * dim)
    yield "patch_embed", _patch_embed_bytes(arch)
    for block in range(arch.depth):
        prefix, attention_dim = f"block_{block}_", arch.attention_dim(block)
        context = _aligned(n * attention_dim)
        streamed = _aligned(attention.scratch_bytes(n, arch.head_dim, dim))
        yield prefix + "attention", stream + context + streamed
        projection = _aligned(fully_connected.scratch_bytes(attention_dim))
        yield prefix + "projection", stream + context + projection
        hidden = _aligned(mlp.scratch_bytes(dim, arch.hidden_dim(block), arch.rank))
        yield prefix + "mlp", stream + hidden
    yield "norm", stream
    yield "mean_pool", stream + _aligned(4 * dim)
    head = _aligned(fully_connected.scratch_bytes(dim))
    yield "head", _aligned(max(dim, arch.num_classes)) + head


def _patch_embed_bytes(arch: Architecture, tile: int = 4) -> int:
    size, patch, channels = arch.image_size, arch.patch_size, arch.channels
    image, tokens = _aligned(size**2 * channels), _aligned(arch.num_tokens * arch.embed_dim)
    in_place = patch_embed.tokens_may_overwrite(size, patch, channels, arch.embed_dim)
    held = arch.grid_size if in_place else 0
    scratch = _aligned(patch_embed.scratch_bytes(arch.embed_dim, patch, channels, tile, held))
    return scratch + (max(image, tokens) if in_place else image + tokens)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
