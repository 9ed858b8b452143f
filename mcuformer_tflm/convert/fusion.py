"""Which layers of a network become one operator."""

from __future__ import annotations

from collections.abc import Collection

from mcuformer_tflm.convert.layer_constants import weight_bits
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.class_token import ClassToken, ClassTokenPool
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.network_graph import NetworkGraph, Node
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer

# Layers in the order in which they run; the last one gives the operator's output.
Group = tuple[Node, ...]


def group_layers(
    graph: NetworkGraph, kept: Collection[str] = (), *, one_by_one: bool = False
) -> list[Group]:
    """Divides a network's layers into operators.

    What an operator computes on the way is held nowhere, so that nobody else may read it.

    Args:
        graph: The quantized network.
        kept: Names of the attention layers whose normalised tokens are an operator's output.
        one_by_one: Whether every layer is an operator of its own, where it can be.

    Returns:
        Groups in the order of execution: attention after the layers that normalise and give
        queries, keys and values; a residual MLP from its normalisation on; the layers of a
        low-rank pair; a stem and the class token behind it, a normalisation and what takes its
        class token; single layers.
    """
    groups: list[Group] = []
    taken: set[str] = set()
    # From the end, since the last layer of an operator knows the others.
    for node in reversed(graph.nodes):
        if node.name in taken:
            continue
        group = _class_token(graph, node)
        if group is None and not one_by_one:
            group = (
                _mlp(graph, node)
                or _attention(graph, node, node.name in kept)
                or _low_rank_pair(graph, node)
            )
        groups.append(group or (node,))
        taken.update(part.name for part in groups[-1])
    return groups[::-1]


def attention_layers(graph: NetworkGraph) -> list[str]:
    """Returns the names of the attention layers whose normalised tokens may be kept or not."""
    return [
        last.name
        for first, *_, last in (group for group in group_layers(graph) if len(group) > 2)
        if isinstance(first.layer, LayerNorm) and isinstance(last.layer, Attention)
    ]


def _class_token(graph: NetworkGraph, node: Node) -> Group | None:
    # ``read_network`` has seen to it that nobody else reads the layer before.
    if not isinstance(node.layer, ClassToken | ClassTokenPool):
        return None
    return graph.node(node.sources[0]), node


def _attention(graph: NetworkGraph, node: Node, kept: bool) -> Group | None:
    if not isinstance(node.layer, Attention):
        return None
    qkv = _only_for(graph, node, FullyConnected)
    if qkv is None:
        return (node,)
    if kept:
        return qkv, node
    # U of a low-rank pair is computed once where normalised tokens are held anyway.
    pair = _low_rank_pair(graph, qkv) or (qkv,)
    norm = _only_for(graph, pair[0], LayerNorm)
    return (qkv, node) if norm is None else (norm, *pair, node)


def _low_rank_pair(graph: NetworkGraph, last: Node) -> Group | None:
    if not isinstance(last.layer, FullyConnected):
        return None
    first = _only_for(graph, last, FullyConnected)
    if first is None or weight_bits(first.layer) != weight_bits(last.layer):
        return None
    return first, last


def _mlp(graph: NetworkGraph, last: Node) -> Group | None:
    # Backwards: one or two matrices, the activation, as many matrices, the normalisation of what
    # the last one adds its product to.
    if not (isinstance(last.layer, FullyConnected) and len(last.sources) == 2):
        return None
    second, gelu = _matrices(graph, last, Gelu)
    if gelu is None:
        return None
    before = _only_for(graph, gelu, FullyConnected)
    if before is None:
        return None
    first, norm = _matrices(graph, before, LayerNorm)
    if norm is None or norm.sources[0] != last.sources[1] or len(first) != len(second):
        return None
    layers = [*first, *second]
    same_rank = len(first) == 1 or first[0].layer.units == second[0].layer.units
    if not same_rank or len({weight_bits(node.layer) for node in layers}) > 1:
        return None
    return norm, *first, gelu, *second


def _matrices(
    graph: NetworkGraph, last: Node, kind: type[QuantizableLayer]
) -> tuple[Group, Node | None]:
    # A matrix, or the pair that ends in it, and the layer of that kind before.
    before = _only_for(graph, last, kind)
    if before is not None:
        return (last,), before
    first = _only_for(graph, last, FullyConnected)
    if first is None:
        return (last,), None
    return (first, last), _only_for(graph, first, kind)


def _only_for(graph: NetworkGraph, reader: Node, kind: type[QuantizableLayer]) -> Node | None:
    # What a layer reads first, if it is of that kind, adds nothing and is read by nobody else.
    name = reader.sources[0]
    if name == graph.image or name in graph.outputs or len(graph.readers(name)) > 1:
        return None
    source = graph.node(name)
    return source if isinstance(source.layer, kind) and len(source.sources) == 1 else None
