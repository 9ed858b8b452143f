"""From a quantized network's graph to operators in a file, without plan and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcuformer_tflm.convert.add import export_add
from mcuformer_tflm.convert.attention import export_attention, export_attention_on_qkv
from mcuformer_tflm.convert.conv_stem import export_conv_stem
from mcuformer_tflm.convert.fully_connected import export_fully_connected
from mcuformer_tflm.convert.fusion import Group
from mcuformer_tflm.convert.gelu import export_gelu
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_norm import export_layer_norm
from mcuformer_tflm.convert.mean_pool import export_mean_pool
from mcuformer_tflm.convert.mlp import export_mlp
from mcuformer_tflm.convert.patch_embed import export_patch_embed
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.convert.token_pool import export_token_pool
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.images import IMAGE_SCALE
from mcuformer_tflm.keras_models.layers.add import Add
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.conv_stem import ConvStem
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool
from mcuformer_tflm.keras_models.layers.stem import Stem
from mcuformer_tflm.keras_models.layers.token_pool import TokenPool
from mcuformer_tflm.keras_models.network_graph import NetworkGraph
from mcuformer_tflm.search.cost.activation_memory import Image

_DESCRIPTION = "vision transformer by mcuformer_tflm"


def write_graph(
    network: NetworkGraph,
    groups: Sequence[Group],
    image: Image = "whole",
    tile: int = 4,
    *,
    block_tokens: Mapping[str, int] | None = None,
) -> bytes:
    """Writes a network.

    Args:
        network: The quantized network.
        groups: Its layers, an operator each (``group_layers``).
        image: Whether the input is the image, or a strip of its first stem's ``strip_rows``.
        tile: Side of the patch embedding's partial convolutions, in pixels.
        block_tokens: Tokens that one pass over the weights of some operators serves, by the names
            of their last layers.

    Raises:
        ConfigError: If several stems would ask for strips, each row of which comes once, or a
            layer has no operator.
    """
    stems = network.stems()
    if image == "strips" and len(stems) > 1:
        names = " and ".join(node.name for node in stems)
        raise ConfigError(
            f"image is 'strips', and {names} read the image, each row of which comes once; use "
            "image='whole'."
        )
    graph = Graph(block_tokens)
    height, width, channels = network.image_shape
    rows = height if image == "whole" else stems[0].layer.strip_rows
    source = graph.add_activation("image", (1, rows, width, channels), Quantization(IMAGE_SCALE))
    made = {network.image: source}
    for group in groups:
        made[group[-1].name] = _export(network, group, graph, made, tile)
    outputs = [made[name] for name in network.outputs]
    return graph.finish([source], outputs, _DESCRIPTION)


def _export(
    network: NetworkGraph, group: Group, graph: Graph, made: dict[str, Activation], tile: int
) -> Activation:
    # The first layer reads what comes from outside; the last may add a residual to it.
    x, *others = (made[name] for name in group[0].sources)
    residual = next((made[name] for name in group[-1].sources[1:]), None)
    match [node.layer for node in group]:
        case [Stem() as stem, *tokens]:
            later = network.stems()[-1] is not group[0]
            height = network.image_shape[0]
            token = tokens[0] if tokens else None
            if isinstance(stem, ConvStem):
                return export_conv_stem(stem, graph, x, height, class_token=token, read_later=later)
            return export_patch_embed(
                stem, graph, x, height, tile, class_token=token, read_later=later
            )
        case [LayerNorm() as norm, *pair, FullyConnected() as qkv, Attention() as attention]:
            return export_attention(attention, qkv, graph, x, norm, *pair)
        case [FullyConnected() as qkv, Attention() as attention]:
            return export_attention(attention, qkv, graph, x)
        case [Attention() as attention]:
            return export_attention_on_qkv(attention, graph, x)
        case [LayerNorm() as norm, *layers, FullyConnected() as last]:
            gelu = next(layer for layer in layers if isinstance(layer, Gelu))
            at = layers.index(gelu)
            return export_mlp(norm, layers[:at], gelu, [*layers[at + 1 :], last], graph, x)
        case [LayerNorm() as norm, *pools]:
            return export_layer_norm(norm, graph, x, pools[0] if pools else None)
        case [FullyConnected() as layer]:
            return export_fully_connected(layer, graph, x, residual)
        case [FullyConnected() as first, FullyConnected() as last]:
            return export_fully_connected(last, graph, x, residual, first)
        case [Gelu() as gelu]:
            return export_gelu(gelu, graph, x)
        case [MeanPool() as pool]:
            return export_mean_pool(pool, graph, x)
        case [TokenPool() as pool]:
            return export_token_pool(pool, graph, x)
        case [Add() as add]:
            return export_add(add, graph, x, *others)
    node = group[-1]
    raise ConfigError(
        f"{node.name} is a {type(node.layer).__name__}, which has no operator to be exported to; "
        "leave it out."
    )
