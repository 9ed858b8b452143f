"""Whether each block's attention keeps its normalised tokens or makes them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type, checked_whole, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost.activation_memory import (
    Image,
    arena_content,
    head_bytes,
    kept_attention_bytes,
)
from mcuformer_tflm.search.cost.tflm_arena import STATE_BYTES, tflm_arena


def kept_arena_bytes(
    architecture: Architecture,
    kept: Collection[int],
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
) -> int:
    """Returns the Cortex-M arena (``arena_bytes``) when some blocks keep normalised tokens.

    Args:
        architecture: The network.
        kept: Those blocks.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.

    Raises:
        ConfigError: If a block is none of the network's, or an argument is none of those.
    """
    arch = checked_type("architecture", architecture, Architecture)
    if not isinstance(kept, Collection):
        raise ConfigError(f"kept is {shown(kept)}; it must be a tuple of blocks.")
    for block in kept:
        checked_whole("kept", block, least=0, most=arch.depth - 1)
    attention = [kept_attention_bytes(arch, block, quantization=quantization) for block in kept]
    head = max([head_bytes(arch, image, quantization=quantization), *attention])
    content = arena_content(arch, head)
    # Each normalisation becomes an operator with an output of its own, and so does each U of a
    # low-rank pair, which has scratch as well.
    operators = ("McuformerLayerNorm", "McuformerFullyConnected")[: 1 + arch.low_rank_attention]
    outputs, scratch = len(kept) * len(operators), len(kept) * arch.low_rank_attention
    content = dataclasses.replace(
        content,
        num_tensors=content.num_tensors + outputs,
        states=content.states + tuple(STATE_BYTES[code] for code in operators) * len(kept),
        num_planned=content.num_planned + outputs + scratch,
        num_scratch=content.num_scratch + scratch,
    )
    return tflm_arena(content).total


def choose_kept(
    architecture: Architecture,
    arena_budget: int,
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
) -> tuple[int, ...]:
    """Returns the blocks whose normalised tokens are best kept within a budget.

    Keeping them costs an arena of tokens * embed_dim bytes more during that block's attention (of
    tokens * rank where it is of low rank: their products with U are kept instead); otherwise each
    head makes them twice, for its keys and values and for its queries. Blocks whose attention
    takes least come first; the arena never grows beyond the budget, nor is anything kept where it
    is exceeded anyway.

    Args:
        architecture: The network.
        arena_budget: Bytes of Cortex-M arena.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    checked_type("architecture", architecture, Architecture)
    arena_budget = checked_whole("arena_budget", arena_budget, least=0)
    kept: list[int] = []
    order = sorted(
        range(architecture.depth),
        key=lambda block: (
            kept_attention_bytes(architecture, block, quantization=quantization),
            block,
        ),
    )
    for block in order:
        arena = kept_arena_bytes(
            architecture, [*kept, block], image=image, quantization=quantization
        )
        if arena <= arena_budget:
            kept.append(block)
    return tuple(sorted(kept))
