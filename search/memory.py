"""The paper's memory figure, and the size of a subnet's constants."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer_tflm.custom_ops.reference.dot import packed_weight_bytes
from mcuformer_tflm.keras_models.architecture import Architecture

# Per output channel: int32 bias, multiplier and shift.
_BYTES_PER_CHANNEL = 12
_GELU_TABLE_BYTES = 256
_EXP_TABLE_BYTES = 512


def fully_connected_shapes(architecture: Architecture) -> Iterator[tuple[str, int, int]]:
    """Yields (name, units, width) of every fully connected layer, the head last."""
    arch = architecture
    for block in range(arch.depth):
        prefix = f"block_{block}_"
        attention, hidden = arch.attention_dim(block), arch.hidden_dim(block)
        if arch.low_rank_attention:
            yield prefix + "qkv_u", arch.rank, arch.embed_dim
            yield prefix + "qkv_v", 3 * attention, arch.rank
            yield prefix + "projection_u", arch.rank, attention
            yield prefix + "projection_v", arch.embed_dim, arch.rank
        else:
            yield prefix + "qkv", 3 * attention, arch.embed_dim
            yield prefix + "projection", arch.embed_dim, attention
        if arch.rank_ratio is None:
            yield prefix + "fc1", hidden, arch.embed_dim
            yield prefix + "fc2", arch.embed_dim, hidden
            continue
        yield prefix + "fc1_u", arch.rank, arch.embed_dim
        yield prefix + "fc1_v", hidden, arch.rank
        yield prefix + "fc2_u", arch.rank, hidden
        yield prefix + "fc2_v", arch.embed_dim, arch.rank
    yield "head", arch.num_classes, arch.embed_dim


def eq5_bytes(architecture: Architecture, class_token: bool = False) -> int:
    """Returns the paper's peak memory (Eq. 5), which is not what an arena needs.

    The maximum over the blocks' fully connected layers of weights + max(input, output), int8:
    weights staged in SRAM, input and output sharing one buffer. It leaves out the residual
    copy, attention scores, the image and every overhead.

    Args:
        architecture: The network.
        class_token: Whether to count one whatever the network's pooling; the paper does.
    """
    tokens = max(architecture.sequence_length, architecture.num_tokens + class_token)
    return max(
        units * width + tokens * max(units, width)
        for name, units, width in fully_connected_shapes(architecture)
        if name != "head"
    )


def weight_bytes(architecture: Architecture) -> int:
    """Returns the bytes of constants that the converted network keeps in flash.

    Weights, biases, multipliers, shifts, positions and tables, without the flatbuffer around
    them (``flash_bytes``).

    Raises:
        ConfigError: If the network has an option without int8 operators.
    """
    arch = architecture
    arch.check_exportable()
    total = sum(
        packed_weight_bytes(units, width) + units * _BYTES_PER_CHANNEL
        for _, units, width in fully_connected_shapes(arch)
    )
    total += packed_weight_bytes(arch.embed_dim, arch.patch_size**2 * arch.channels)
    total += arch.embed_dim * _BYTES_PER_CHANNEL
    total += arch.num_tokens * arch.embed_dim
    # Two norms a block and one at the end: int16 gamma, int32 beta.
    total += (2 * arch.depth + 1) * 6 * arch.embed_dim
    return total + arch.depth * _GELU_TABLE_BYTES + _EXP_TABLE_BYTES


def num_parameters(architecture: Architecture) -> int:
    """Returns the number of trainable parameters."""
    arch = architecture
    total = sum(units * (width + 1) for _, units, width in fully_connected_shapes(arch))
    total += arch.embed_dim * (arch.patch_size**2 * arch.channels + 1)
    if arch.relative_position:
        distances = (2 * arch.grid_size - 1) ** 2 + 3 * (arch.pooling == "class_token")
        total += sum(arch.num_heads) * distances
    return total + (arch.sequence_length + 2 * (2 * arch.depth + 1)) * arch.embed_dim


def num_macs(architecture: Architecture) -> int:
    """Returns the multiply-accumulates of one image."""
    arch, n = architecture, architecture.sequence_length
    total = sum(
        units * width * (1 if name == "head" else n)
        for name, units, width in fully_connected_shapes(arch)
    )
    total += arch.num_tokens * arch.embed_dim * arch.patch_size**2 * arch.channels
    return total + sum(2 * n * n * arch.attention_dim(block) for block in range(arch.depth))


def flash_bytes(architecture: Architecture) -> int:
    """Returns about how large the ``.tflite`` will be, rounded up; code is not counted.

    ``weight_bytes`` and the flatbuffer around them: measured at 4.7 to 5.1 KB a block and 2.3
    to 3.3 KB beside the blocks.
    """
    return weight_bytes(architecture) + 5200 * architecture.depth + 4096
