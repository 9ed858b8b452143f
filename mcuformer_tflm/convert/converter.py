"""From a quantized subnet to the bytes of a ``.tflite``."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Sequence
from typing import Literal, get_args

from mcuformer_tflm.convert.fusion import attention_layers, group_layers
from mcuformer_tflm.convert.metadata import write_metadata
from mcuformer_tflm.convert.writer import write_graph
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_whole
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.network_graph import NetworkGraph
from mcuformer_tflm.keras_models.subnet import Subnet, check_subnet
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.schedule import choose_kept
from mcuformer_tflm.tflite.model_graph import read_graph

Schedule = Literal["auto", "streamed", "kept", "paper"]


def convert(
    subnet: Subnet,
    labels: Sequence[str],
    *,
    schedule: Schedule = "auto",
    image: Image = "whole",
    arena_budget: int | None = None,
    tile: int = 4,
) -> bytes:
    """Converts a quantized network to an int8 ``.tflite``.

    The file is written straight from the layers and the ranges that their TF-MOT quantizers
    learned: custom operators with multipliers, shifts and tables as constants in flash, the
    memory plan as TFLM's ``OfflineMemoryAllocation``, labels and normalisation as
    tflite-support's metadata, and the architecture.

    Args:
        subnet: A network from ``quantize``.
        labels: Class names by index, one line each; ends of lines are left out.
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

    Returns:
        Bytes of the model: int8[1, height, width, channels] (byte - 128) to
        int8[1, num_classes].

    Raises:
        BudgetError: If the model takes more than ``arena_budget``; names the least that can be
            had.
        ConfigError: If the network is not quantized, has an option without int8 operators, the
            labels are not one name a class, or an option is none of those.
    """
    check_subnet(subnet)
    subnet.architecture.check_exportable()
    checked_choice("schedule", schedule, get_args(Schedule))
    checked_choice("image", image, get_args(Image))
    if subnet.quantization is None:
        raise ConfigError("This subnet is not quantized; pass it through quantize(...) first.")
    names = class_names(labels, subnet.architecture.num_classes)
    if arena_budget is not None and not isinstance(arena_budget, numbers.Integral):
        raise ConfigError(f"arena_budget is {arena_budget!r}; it must be a whole number of bytes.")
    network = subnet.graph()
    kept: Collection[str] = ()
    if schedule == "kept":
        kept = attention_layers(network)
    elif schedule == "auto":
        room = max(0, arena_budget or 0)
        blocks = choose_kept(
            subnet.architecture, room, image=image, quantization=subnet.quantization
        )
        kept = [f"block_{block}_attention" for block in blocks]
    # A tile is no larger than a patch; a patch of less than the default is one tile.
    tile = checked_whole("tile", tile, most=max(4, subnet.architecture.patch_size))
    groups = group_layers(network, kept, one_by_one=schedule == "paper")
    content = write_graph(network, groups, image, tile)
    plan = plan_memory(content)
    if arena_budget is not None:
        needed = cortex_m_arena_bytes(read_graph(content), plan)
        if needed > arena_budget:
            raise BudgetError(_over_budget(arena_budget, needed, network, image, tile))
    content = write_plan(content, plan)
    return write_metadata(content, names, subnet.architecture)


def _over_budget(
    arena_budget: int, needed: int, network: NetworkGraph, image: Image, tile: int
) -> str:
    least = {}
    for way in get_args(Image):
        graph = read_graph(write_graph(network, group_layers(network), way, tile))
        least[way] = cortex_m_arena_bytes(graph, plan_memory(graph))
    best = min(least, key=lambda way: least[way])
    text = (
        f"arena_budget is {arena_budget:,} bytes, and the model takes {needed:,}. The least that "
        f"can be had with image={image!r} and tile={tile} is {least[image]:,}, by schedule='auto'"
    )
    return text + ("." if best == image else f"; {least[best]:,} with image={best!r}.")
