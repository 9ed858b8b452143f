"""The arena's head of a subnet, computed from its architecture alone."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer_tflm.keras_models.architecture import Architecture

_ALIGNMENT = 16
# Sizes of TFLM's structures where pointers have 4 bytes.
_EVAL_TENSOR_BYTES = 12
_NODE_BYTES = 32
_NODE_DATA_BYTES = 64
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
    operators = 10 * depth + 4
    fully_connected, layer_norms = 6 * depth + 1, 2 * depth + 1
    activations = operators + 1
    constants = 5 + 4 * fully_connected + 2 * layer_norms + depth + 1
    scratch = 5 * depth + 3
    tail = (
        _EVAL_TENSOR_BYTES * (activations + constants)
        + _NODE_BYTES * operators
        + _NODE_DATA_BYTES * (fully_connected + layer_norms + 2 * depth + 2)
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
