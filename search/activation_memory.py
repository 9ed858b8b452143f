"""The arena's head of a subnet, computed from its architecture alone."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer_tflm.keras_models.architecture import Architecture

_ALIGNMENT = 16


def head_bytes(architecture: Architecture) -> int:
    """Returns the bytes of activations and scratch that our memory plan needs, int8.

    The largest sum of live buffers over the operators of the exported graph, each rounded up
    to 16 bytes. This is measured memory, not the paper's Eq. 5: it counts the residual
    stream, attention and scratch, and leaves weights in flash.

    Args:
        architecture: The network.
    """
    return max(total for _, total in live_bytes(architecture))


def live_bytes(architecture: Architecture) -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive while it runs) in execution order."""
    arch, n = architecture, architecture.num_tokens
    dim, rank = arch.embed_dim, arch.rank
    stream = _aligned(n * dim)
    image = _aligned(arch.image_size**2 * arch.channels)
    yield "patch_embed", image + stream + _aligned(4 * dim)
    for block in range(arch.depth):
        prefix = f"block_{block}_"
        attention, hidden = arch.attention_dim(block), arch.hidden_dim(block)
        qkv, context = _aligned(3 * n * attention), _aligned(n * attention)
        yield prefix + "norm_1", stream + _aligned(n * dim)
        yield prefix + "qkv", stream + _in_place(n, dim, 3 * attention)
        yield prefix + "attention", stream + qkv + context + _aligned(4 * n)
        yield prefix + "projection", stream + context
        yield prefix + "norm_2", stream + _aligned(n * dim)
        yield prefix + "fc1_u", stream + _in_place(n, dim, rank)
        yield prefix + "fc1_v", stream + _in_place(n, rank, hidden)
        yield prefix + "gelu", stream + _aligned(n * hidden)
        yield prefix + "fc2_u", stream + _in_place(n, hidden, rank)
        yield prefix + "fc2_v", stream + _aligned(n * rank)
    yield "norm", stream + _aligned(n * dim)
    yield "mean_pool", _aligned(n * dim) + _aligned(4 * dim)
    yield "head", _in_place(1, dim, arch.num_classes)


def _in_place(rows: int, before: int, after: int) -> int:
    # The output takes the input's place; one input row is copied out first.
    return _aligned(rows * max(before, after)) + _aligned(before)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
