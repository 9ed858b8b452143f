"""The arena of a subnet, computed from its architecture alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from mcuformer_tflm.custom_ops.reference import attention, fully_connected, mlp
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_type, entries, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost import stem
from mcuformer_tflm.search.cost.tflm_arena import STATE_BYTES, ArenaContent, tflm_arena

Image = Literal["whole", "strips"]

_ALIGNMENT = 16


@dataclasses.dataclass(frozen=True)
class LiveBuffers:
    """What is alive while an operator runs, in bytes.

    Attributes:
        operator: Its name.
        stream: The residual stream, or what it overwrites or becomes: one place all along.
        held: Another tensor, which a neighbour writes or reads too, or 0.
        scratch: Its own scratch.
    """

    operator: str
    stream: int
    held: int
    scratch: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.stream + self.held + self.scratch


def head_bytes(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns the bytes of activations and scratch that our memory plan needs.

    The largest sum of live buffers over the operators of the exported graph, each rounded up
    to 16 bytes. This is measured memory, not the paper's Eq. 5: it counts the image, the
    residual stream, attention and scratch, and leaves weights in flash.

    Args:
        architecture: The network.
        image: Whether the arena holds the image or a strip of its rows.
        quantization: Whose ``residual_bits`` is the width of the residual stream.

    Raises:
        ConfigError: If an argument is none of those.
    """
    return max(total for _, total in live_bytes(architecture, image, quantization=quantization))


def arena_bytes(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns the tensor arena that a subnet needs on a Cortex-M under TFLM and our planner.

    Known before the subnet exists. Equal to what its converted model then needs, byte for
    byte, unless two of its constants happen to be equal and share a tensor (then 12 to 36
    bytes more).

    Args:
        architecture: The network.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    head = head_bytes(architecture, image, quantization=quantization)
    return tflm_arena(arena_content(architecture, head)).total


def arena_content(
    architecture: Architecture, head: int, *, depth: int | None = None
) -> ArenaContent:
    """Returns what the exported graph of a network makes TFLM keep.

    Args:
        architecture: The network, whose options alone count.
        head: Bytes of activations and scratch.
        depth: Number of blocks, where it is another than the network's.
    """
    arch, depth = architecture, depth or architecture.depth
    class_token = arch.pooling == "class_token"
    block = ("McuformerAttention", "McuformerFullyConnected", "McuformerMlp")
    codes = (
        stem.OPERATORS[arch.stem], *block * depth, "McuformerLayerNorm",
        *(() if class_token else ("McuformerMeanPool",)), "McuformerFullyConnected",
    )  # fmt: skip
    activations = 1 + len(codes)
    # Stem 3, attention 4, projection 2, MLP 3 and 2 a layer, norm 2, head 2, and one table
    # of exponentials for all.
    mlp_constants = 3 + 2 * (2 if arch.rank_ratio is None else 4)
    # Of a low-rank pair two more, as in the projection.
    attention_constants = 4 + arch.relative_position + 4 * arch.low_rank_attention
    constants = 3 + class_token + (attention_constants + 2 + mlp_constants) * depth + 2 + 2 + 1
    scratch = sum(code not in ("McuformerLayerNorm", "McuformerMeanPool") for code in codes)
    return ArenaContent(
        head,
        activations + constants,
        tuple(STATE_BYTES[code] for code in codes),
        activations + scratch,
        scratch,
    )


def fits_regions(
    architecture: Architecture,
    regions: Sequence[int],
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
) -> bool:
    """Whether activations and scratch can be divided over several regions of SRAM.

    A buffer lies in one region. The residual stream stays where it is from the first operator
    to the last, so it lies at the start of a region; what is alive beside it is stacked above
    it or in another region. So a plan exists where the sums do not exceed the regions, and
    ``plan_memory`` with a board finds it.

    Args:
        architecture: The network.
        regions: Bytes of each region that are free for the plan.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    if entries(regions) is None:
        raise ConfigError(f"regions is {shown(regions)}; it must be a tuple of bytes.")
    operators = list(live_buffers(architecture, image, quantization=quantization))
    if max(operator.total for operator in operators) > sum(regions):
        return False
    # Neighbours that hold the same tensor.
    groups = [list(group) for _, group in itertools.groupby(operators, lambda op: op.held)]

    def fits(operator: LiveBuffers, stream: int, held: int) -> bool:
        free = list(regions)
        free[stream] -= operator.stream
        free[held] -= operator.held
        return min(free) >= 0 and max(free) >= operator.scratch

    places = range(len(regions))
    return any(
        all(any(all(fits(op, stream, held) for op in group) for held in places) for group in groups)
        for stream in places
    )


def live_bytes(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> Iterator[tuple[str, int]]:
    """Yields (operator, bytes alive while it runs) in execution order.

    Raises:
        ConfigError: If an argument is none of those.
    """
    for operator in live_buffers(architecture, image, quantization=quantization):
        yield operator.operator, operator.total


def live_buffers(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> Iterator[LiveBuffers]:
    """Yields what is alive at each operator, in execution order.

    Raises:
        ConfigError: If an argument is none of those.
    """
    first, *rest = outer_live_buffers(architecture, image, quantization=quantization)
    yield first
    for block in range(architecture.depth):
        yield from block_live_buffers(architecture, block, quantization=quantization)
    yield from rest


def block_live_buffers(
    architecture: Architecture, block: int, *, quantization: QuantizationConfig = INT8
) -> Iterator[LiveBuffers]:
    """Yields what is alive at the operators of one block."""
    arch, n, prefix = architecture, architecture.sequence_length, f"block_{block}_"
    dim, attention_dim = arch.embed_dim, arch.attention_dim(block)
    rank = arch.rank if arch.low_rank_attention else 0
    stream, context = stream_bytes(arch, quantization), _aligned(n * attention_dim)
    streamed = _aligned(attention.scratch_bytes(n, arch.head_dim, dim, rank))
    yield LiveBuffers(prefix + "attention", stream, context, streamed)
    projection = _aligned(fully_connected.scratch_bytes(attention_dim, rank))
    yield LiveBuffers(prefix + "projection", stream, context, projection)
    hidden = _aligned(mlp.scratch_bytes(dim, arch.hidden_dim(block), arch.rank))
    yield LiveBuffers(prefix + "mlp", stream, 0, hidden)


def kept_attention_bytes(
    architecture: Architecture, block: int, *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns what is alive at the attention of a block that keeps its normalised tokens.

    They are as large as a stream of int8. Of a low-rank pair U is an operator of its own, whose
    output takes their place.
    """
    arch, n, dim = architecture, architecture.sequence_length, architecture.embed_dim
    stream, normalised = stream_bytes(arch, quantization), stream_bytes(arch)
    width, before = dim, 0
    if arch.low_rank_attention:
        width, before = arch.rank, normalised + _aligned(fully_connected.scratch_bytes(dim))
        normalised = _aligned(n * width)
    scratch = _aligned(attention.scratch_bytes(n, arch.head_dim, width))
    context = _aligned(n * arch.attention_dim(block))
    return stream + max(before, normalised + context + scratch)


def stream_bytes(architecture: Architecture, quantization: QuantizationConfig = INT8) -> int:
    """Returns the bytes of the residual stream.

    Raises:
        ConfigError: If ``quantization`` is no such configuration.
    """
    checked_type("quantization", quantization, QuantizationConfig)
    element_size = quantization.residual_bits // 8
    return _aligned(architecture.sequence_length * architecture.embed_dim * element_size)


def outer_live_buffers(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> Iterator[LiveBuffers]:
    """Yields what is alive at the operators before and after the blocks.

    Raises:
        ConfigError: If an argument is none of those.
    """
    checked_type("architecture", architecture, Architecture)
    checked_choice("image", image, get_args(Image))
    arch, dim = architecture, architecture.embed_dim
    yield _stem_buffers(arch, image, quantization)
    yield LiveBuffers("norm", stream_bytes(arch, quantization), 0, 0)
    if arch.pooling == "mean":
        # What the normalisation gives is int8 whatever the stream is.
        yield LiveBuffers("mean_pool", stream_bytes(arch), 0, 0)
    head = _aligned(fully_connected.scratch_bytes(dim))
    yield LiveBuffers("head", _aligned(max(dim, arch.num_classes)), 0, head)


def _stem_buffers(
    arch: Architecture, image: Image, quantization: QuantizationConfig
) -> LiveBuffers:
    height, width, channels = arch.image_shape
    rows = height if image == "whole" else stem.strip_rows(arch)
    pixels, tokens = _aligned(rows * width * channels), stream_bytes(arch, quantization)
    element_size = quantization.residual_bits // 8
    in_place = image == "whole" and stem.may_overwrite(arch, element_size)
    scratch = _aligned(stem.scratch_bytes(arch, element_size, in_place))
    if in_place:
        return LiveBuffers(arch.stem_name, max(pixels, tokens), 0, scratch)
    return LiveBuffers(arch.stem_name, tokens, pixels, scratch)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
