"""From a quantized network to the bytes of a ``.tflite``."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Literal, get_args

import tf_keras

from mcuformer_tflm.convert.fusion import attention_layers, group_layers
from mcuformer_tflm.convert.labels import Labels, output_labels
from mcuformer_tflm.convert.metadata import write_metadata
from mcuformer_tflm.convert.writer import write_graph
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_whole
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.network import Network, as_network
from mcuformer_tflm.keras_models.network_graph import NetworkGraph
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.plan.block_tokens import choose_block_tokens, same_block_tokens
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.block_tokens import checked_block_tokens
from mcuformer_tflm.search.cost.schedule import choose_kept
from mcuformer_tflm.tflite.model_graph import read_graph

Schedule = Literal["auto", "streamed", "kept", "paper"]


def convert(
    subnet: tf_keras.Model,
    labels: Labels | None = None,
    *,
    schedule: Schedule = "auto",
    image: Image = "whole",
    arena_budget: int | None = None,
    tile: int = 4,
    block_tokens: int | None = None,
) -> bytes:
    """Converts a quantized network to an int8 ``.tflite``.

    The file is written straight from the layers and the ranges that their TF-MOT quantizers
    learned: custom operators with multipliers, shifts and tables as constants in flash, the
    memory plan as TFLM's ``OfflineMemoryAllocation``, labels and normalisation as
    tflite-support's metadata, and the architecture.

    Args:
        subnet: A network from ``quantize``, or a functional ``tf_keras.Model`` of its layers.
        labels: Class names by index, one line each; ends of lines are left out. Of a network of
            several outputs, by the names of those that are logits: ``{"head": ["cat", "dog"]}``.
            None where there are no classes, as of an embedding.
        schedule: How a block becomes operators; all give the same bytes.
            ``"streamed"``: attention normalises the tokens and computes queries, keys and
            values again for each head, and the MLP runs a few tokens at a time, so that none
            of it is ever held. ``"kept"``: the same, but attention's normalised tokens are
            made once and kept, which takes more arena and less time. ``"paper"``: every layer
            an operator of its own, as the paper counts them. ``"auto"``: kept in as many
            blocks as ``arena_budget`` has room for (``search.schedule.choose_kept``), streamed
            in the others.
        image: ``"whole"``: the input is the image; tokens overwrite it where they are small
            enough. ``"strips"``: the input is room for ``patch_size`` rows, which the operator
            asks of the runtime's input source as it goes.
        arena_budget: Bytes of Cortex-M arena that the model may take, which ``"auto"`` uses up
            for speed; without it the arena is as small as the schedule permits.
        tile: Side of the patch embedding's partial convolutions, in pixels.
        block_tokens: Tokens that one pass over weights serves, a multiple of 4, which counts where
            constants lie in external flash. None: with ``"auto"`` as many in each operator as
            ``arena_budget`` then has room for (``plan.block_tokens``), otherwise 4.

    Returns:
        Bytes of the model: int8[1, height, width, channels] (byte - 128) to
        int8[1, num_classes], or to each of its outputs, which keeps a scale of its own; what is
        of the residual stream has its width.

    Raises:
        BudgetError: If the model takes more than ``arena_budget``; names the least that can be
            had.
        ConfigError: If the network is not quantized, has a layer that is none of ours or tensors
            whose scales cannot be joined, the labels are not one name a class or belong to an
            output that is no logits, or an option is none of those.
    """
    network = as_network(subnet, "subnet")
    architecture = network.architecture if isinstance(network, Subnet) else None
    graph = network.graph()
    checked_choice("schedule", schedule, get_args(Schedule))
    checked_choice("image", image, get_args(Image))
    network.check_quantized()
    names = output_labels(labels, graph, needed=architecture is not None)
    if arena_budget is not None and not isinstance(arena_budget, numbers.Integral):
        raise ConfigError(f"arena_budget is {arena_budget!r}; it must be a whole number of bytes.")
    # A tile is no larger than a patch; a patch of less than the default is one tile.
    largest = max(stem.layer.patch_size for stem in graph.stems())
    tile = checked_whole("tile", tile, most=max(4, largest))
    if block_tokens is not None:
        block_tokens = checked_block_tokens(block_tokens)
    kept: Sequence[str] = ()
    if schedule == "kept":
        kept = attention_layers(graph)
    elif schedule == "auto":
        kept = _affordable(network, graph, image, arena_budget or 0, tile)
    groups = group_layers(graph, kept, one_by_one=schedule == "paper")
    content = write_graph(graph, groups, image, tile)
    blocks: dict[str, int] = {}
    if block_tokens is not None:
        blocks = same_block_tokens(read_graph(content), block_tokens)
    elif arena_budget is not None and schedule == "auto":
        blocks = choose_block_tokens(read_graph(content), int(arena_budget))
    if blocks:
        content = write_graph(graph, groups, image, tile, block_tokens=blocks)
    plan = plan_memory(content)
    if arena_budget is not None:
        needed = cortex_m_arena_bytes(read_graph(content), plan)
        if needed > arena_budget:
            raise BudgetError(_over_budget(arena_budget, needed, graph, image, tile))
    content = write_plan(content, plan)
    return write_metadata(content, names, architecture)


def _affordable(
    network: Network, graph: NetworkGraph, image: Image, arena_budget: int, tile: int
) -> list[str]:
    # Names of the attention layers whose normalised tokens the budget has room for.
    if isinstance(network, Subnet) and network.quantization is not None:
        room, config = max(0, arena_budget), network.quantization
        blocks = choose_kept(network.architecture, room, image=image, quantization=config)
        return [f"block_{block}_attention" for block in blocks]
    kept: list[str] = []
    if arena_budget > 0:
        for name in attention_layers(graph):
            if _arena_bytes(graph, [*kept, name], image, tile) <= arena_budget:
                kept.append(name)
    return kept


def _arena_bytes(graph: NetworkGraph, kept: Sequence[str], image: Image, tile: int) -> int:
    written = read_graph(write_graph(graph, group_layers(graph, kept), image, tile))
    return cortex_m_arena_bytes(written, plan_memory(written))


def _over_budget(
    arena_budget: int, needed: int, graph: NetworkGraph, image: Image, tile: int
) -> str:
    # Several stems cannot share the strips.
    ways = get_args(Image) if len(graph.stems()) == 1 else (image,)
    least = {way: _arena_bytes(graph, (), way, tile) for way in ways}
    best = min(least, key=lambda way: least[way])
    text = (
        f"arena_budget is {arena_budget:,} bytes, and the model takes {needed:,}. The least that "
        f"can be had with image={image!r} and tile={tile} is {least[image]:,}, by schedule='auto'"
    )
    return text + ("." if best == image else f"; {least[best]:,} with image={best!r}.")
