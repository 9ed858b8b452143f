"""From a quantized subnet to the bytes of a ``.tflite``."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from mcuformer_tflm.convert.attention import export_attention, export_attention_on_qkv
from mcuformer_tflm.convert.fully_connected import export_fully_connected
from mcuformer_tflm.convert.gelu import export_gelu
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_norm import export_layer_norm
from mcuformer_tflm.convert.mean_pool import export_mean_pool
from mcuformer_tflm.convert.metadata import write_metadata
from mcuformer_tflm.convert.mlp import export_mlp
from mcuformer_tflm.convert.patch_embed import export_patch_embed
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_whole
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.labels import class_names
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
    blocks = range(subnet.architecture.depth)
    if arena_budget is not None and not isinstance(arena_budget, numbers.Integral):
        raise ConfigError(f"arena_budget is {arena_budget!r}; it must be a whole number of bytes.")
    if schedule == "auto":
        fast = choose_kept(
            subnet.architecture,
            max(0, arena_budget or 0),
            image=image,
            quantization=subnet.quantization,
        )
        schedules = ["kept" if block in fast else "streamed" for block in blocks]
    else:
        schedules = [schedule for _ in blocks]
    # A tile is no larger than a patch; a patch of less than the default is one tile.
    tile = checked_whole("tile", tile, most=max(4, subnet.architecture.patch_size))
    content = _write_graph(subnet, schedules, image, tile)
    plan = plan_memory(content)
    if arena_budget is not None:
        needed = cortex_m_arena_bytes(read_graph(content), plan)
        if needed > arena_budget:
            raise BudgetError(_over_budget(arena_budget, needed, subnet, image, tile))
    content = write_plan(content, plan)
    return write_metadata(content, names, subnet.architecture)


def _over_budget(arena_budget: int, needed: int, subnet: Subnet, image: Image, tile: int) -> str:
    least = {}
    for way in get_args(Image):
        schedules = ["streamed"] * subnet.architecture.depth
        graph = read_graph(_write_graph(subnet, schedules, way, tile))
        least[way] = cortex_m_arena_bytes(graph, plan_memory(graph))
    best = min(least, key=lambda way: least[way])
    text = (
        f"arena_budget is {arena_budget:,} bytes, and the model takes {needed:,}. The least that "
        f"can be had with image={image!r} and tile={tile} is {least[image]:,}, by schedule='auto'"
    )
    return text + ("." if best == image else f"; {least[best]:,} with image={best!r}.")


def _write_graph(subnet: Subnet, schedules: Sequence[str], image: Image, tile: int) -> bytes:
    arch = subnet.architecture
    layers = {layer.name: layer for layer in subnet.operators()}
    graph = Graph()
    height, width, channels = arch.image_shape
    rows = height if image == "whole" else arch.patch_size
    source = graph.add_activation("image", (1, rows, width, channels), Quantization(IMAGE_SCALE))
    x = export_patch_embed(layers["patch_embed"], graph, source, height, tile)
    for block in range(arch.depth):
        part = {
            name.removeprefix(f"block_{block}_"): layer
            for name, layer in layers.items()
            if name.startswith(f"block_{block}_")
        }
        x = _EXPORTS[schedules[block]](part, graph, x)
    x = export_layer_norm(layers["norm"], graph, x)
    x = export_mean_pool(layers["mean_pool"], graph, x)
    x = export_fully_connected(layers["head"], graph, x)
    return graph.finish([source], x, "vision transformer by mcuformer_tflm")


def _export_streamed(part: Mapping[str, Any], graph: Graph, x: Activation) -> Activation:
    y = export_attention(part["attention"], part["qkv"], graph, x, part["norm_1"])
    x = export_fully_connected(part["projection"], graph, y, residual=x)
    return export_mlp(part, graph, x)


def _export_kept(part: Mapping[str, Any], graph: Graph, x: Activation) -> Activation:
    y = export_layer_norm(part["norm_1"], graph, x)
    y = export_attention(part["attention"], part["qkv"], graph, y)
    x = export_fully_connected(part["projection"], graph, y, residual=x)
    return export_mlp(part, graph, x)


def _export_one_by_one(part: Mapping[str, Any], graph: Graph, x: Activation) -> Activation:
    y = export_layer_norm(part["norm_1"], graph, x)
    y = export_fully_connected(part["qkv"], graph, y)
    y = export_attention_on_qkv(part["attention"], graph, y)
    x = export_fully_connected(part["projection"], graph, y, residual=x)
    y = export_layer_norm(part["norm_2"], graph, x)
    low_rank = "fc1_u" in part
    for name in ("fc1_u", "fc1_v") if low_rank else ("fc1",):
        y = export_fully_connected(part[name], graph, y)
    y = export_gelu(part["gelu"], graph, y)
    if low_rank:
        y = export_fully_connected(part["fc2_u"], graph, y)
    return export_fully_connected(part["fc2_v" if low_rank else "fc2"], graph, y, residual=x)


_EXPORTS = {"streamed": _export_streamed, "kept": _export_kept, "paper": _export_one_by_one}
