"""A functional model of our layers, as a graph: who reads whom, in the order of execution."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_layers import instead_of
from mcuformer_tflm.keras_models.layers.attention import Attention
from mcuformer_tflm.keras_models.layers.class_token import ClassToken, ClassTokenPool
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer

_HOW = "give a functional tf_keras.Model of the layers in mcuformer_tflm.keras_models"
# Arguments of a call that change nothing of what the layer computes.
_HARMLESS = ("training", "mask")


@dataclasses.dataclass(frozen=True)
class Node:
    """A layer at its place in the graph.

    Attributes:
        layer: The layer.
        sources: Names of the layers whose outputs it reads, in order; a stem reads the image.
        shape: What it gives for one image: tokens and width, or width.
    """

    layer: QuantizableLayer
    sources: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the layer, and of what it gives."""
        return str(self.layer.name)


@dataclasses.dataclass(frozen=True)
class NetworkGraph:
    """One image in, one output or several.

    Attributes:
        image: Name of the input.
        image_shape: Its height, width and channels.
        nodes: The layers, each after those that it reads.
        outputs: Names of the layers that give the model's outputs, in its order.
    """

    image: str
    image_shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def node(self, name: str) -> Node:
        """Returns the node of a layer."""
        return next(node for node in self.nodes if node.name == name)

    def readers(self, name: str) -> list[Node]:
        """Returns the layers that read what one gives."""
        return [node for node in self.nodes if name in node.sources]

    def classifiers(self) -> dict[str, int]:
        """Returns the outputs that may be logits, and the number of their classes.

        They come from a fully connected layer without residual, and are a vector an image.
        """
        found = {}
        for name in self.outputs:
            node = self.node(name)
            alone = isinstance(node.layer, FullyConnected) and len(node.sources) == 1
            if alone and len(node.shape) == 1:
                found[name] = node.shape[0]
        return found

    def stems(self) -> list[Node]:
        """Returns the layers that read the image."""
        return self.readers(self.image)


def read_network(model: Any, field: str = "network") -> NetworkGraph:
    """Walks through a functional model from its outputs to its image.

    Branches stay together: a layer runs as late as those that read it allow.

    Args:
        model: The model, float or quantized.
        field: How errors call it.

    Raises:
        ConfigError: If it is no functional model of our layers with one image as input, a layer
            is none of ours (named, with what does instead), is called twice, computes in
            another type than float32, or is quantized otherwise than those around it need; or
            an output is none of a layer or listed twice.
    """
    if not isinstance(model, tf_keras.Model) or not getattr(model, "_is_graph_network", False):
        raise ConfigError(
            f"{field} is a {type(model).__name__}; give one of the networks of build_subnet(...), "
            f"supernet.extract(...) or quantize(...), or {_HOW}."
        )
    walked = _walk(model)
    image, shape = _image(model, field)
    nodes = tuple(
        Node(call.layer, tuple(_makers(call)), tuple(call.outputs.shape[1:]))
        for call in walked
        if not call.is_input
    )
    outputs = tuple(str(_layer(tensor).name) for tensor in model.outputs)
    graph = NetworkGraph(image, shape, nodes, outputs)
    for node in nodes:
        _check_inputs(node, graph)
    for name in outputs:
        _check_output(name, graph)
    _check_quantization(graph)
    return graph


def _walk(model: tf_keras.Model) -> list[Any]:
    # Keras' nodes, a call of a layer each, in the order of execution.
    done: dict[int, Any] = {}
    calls: dict[int, Any] = {}  # the call of each layer
    waiting = [(_call(tensor), False) for tensor in reversed(model.outputs)]
    while waiting:
        call, inputs_done = waiting.pop()
        if id(call) in done:
            continue
        if inputs_done:
            done[id(call)] = call
            continue
        _check_call(call)
        if calls.setdefault(id(call.layer), call) is not call:
            _refuse_second_call(call, calls[id(call.layer)])
        waiting.append((call, True))
        waiting += [(_call(tensor), False) for tensor in reversed(call.keras_inputs)]
    return list(done.values())


def _check_call(call: Any) -> None:
    layer = call.layer
    if call.is_input:
        return
    if not isinstance(layer, QuantizableLayer):
        raise ConfigError(
            f"{layer.name} is a {type(layer).__name__}, which has no operator of ours. "
            f"{instead_of(layer)}"
        )
    if layer.dtype_policy.name != "float32":
        raise ConfigError(
            f"{layer.name} computes in {layer.dtype_policy.name!r}; networks are quantized from "
            "float32: make it without dtype."
        )
    given = [name for name, value in call.call_kwargs.items() if value is not None]
    for name in given:
        if name not in _HARMLESS:
            raise ConfigError(
                f"{layer.name} is called with {name}, which is for supernets; call it with its "
                "input alone."
            )


def _refuse_second_call(call: Any, other: Any) -> None:
    name = call.layer.name
    cycle = _follows(call, other) or _follows(other, call)
    what = "on what follows from its own output, a cycle" if cycle else "twice"
    raise ConfigError(
        f"{name} is called {what}; each operator has weights and ranges of its own: make a layer "
        "for each call."
    )


def _follows(call: Any, other: Any) -> bool:
    waiting, seen = [call], set()
    while waiting:
        current = waiting.pop()
        if current is other:
            return True
        if id(current) not in seen:
            seen.add(id(current))
            waiting += [_call(tensor) for tensor in current.keras_inputs]
    return False


def _image(model: tf_keras.Model, field: str) -> tuple[str, tuple[int, int, int]]:
    if len(model.inputs) != 1:
        raise ConfigError(
            f"{field} has {len(model.inputs)} inputs; networks take one image (of a supernet, "
            "extract(...) a subnet)."
        )
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or None in shape:
        raise ConfigError(
            f"{field} takes an input of shape {shape}; it must be an image of known height, width "
            "and channels: tf_keras.Input((height, width, channels))."
        )
    return str(_layer(model.inputs[0]).name), shape


def _check_inputs(node: Node, graph: NetworkGraph) -> None:
    layer = node.layer
    if layer.reads_image != (node.sources == (graph.image,)):
        raise ConfigError(
            f"{node.name} reads {' and '.join(node.sources)}; a stem such as PatchEmbed(embed_dim, "
            "patch_size) reads the image, and all other layers read what a stem or another layer "
            "makes of it."
        )
    if isinstance(layer, ClassToken | ClassTokenPool):
        _check_class_token(node, graph)
    if isinstance(layer, FullyConnected) and len(node.sources) > 1:
        residual = graph.node(node.sources[1])
        if residual.shape != node.shape:
            raise ConfigError(
                f"{node.name} gives {list(node.shape)} an image and adds {residual.name}, "
                f"{list(residual.shape)}; a residual has the shape of what it is added to."
            )
    if isinstance(layer, Attention):
        source = graph.node(node.sources[0]).layer
        if not (isinstance(source, FullyConnected) and source.parts == 3):
            raise ConfigError(
                f"{node.name} reads {source.name}; Attention reads queries, keys and values from "
                "FullyConnected(3 * heads * head_dim, parts=3), which has a scale for each."
            )
    elif len(parted := [name for name in node.sources if _parts(graph, name) > 1]):
        raise ConfigError(
            f"{node.name} reads {parted[0]}, whose {_parts(graph, parted[0])} parts have scales of "
            "their own, which Attention alone can join; make that layer with parts=1, or another "
            "one for this branch."
        )


def _check_class_token(node: Node, graph: NetworkGraph) -> None:
    # One operator writes the patches and the token, one normalises the token alone.
    (name,) = node.sources
    source = graph.node(name).layer
    takes = isinstance(node.layer, ClassTokenPool)
    right = isinstance(source, LayerNorm) if takes else source.reads_image
    if not right or name in graph.outputs or len(graph.readers(name)) > 1:
        what = "a LayerNorm" if takes else "a stem such as PatchEmbed"
        raise ConfigError(
            f"{node.name} reads {name}; {type(node.layer).__name__} reads {what} that nothing else "
            "reads: their operator is one."
        )


def _check_output(name: str, graph: NetworkGraph) -> None:
    if name == graph.image:
        raise ConfigError(f"The model gives its image {name} back as an output; leave that out.")
    if graph.outputs.count(name) > 1:
        raise ConfigError(f"{name} is an output of the model twice; list it once.")
    if _parts(graph, name) > 1:
        raise ConfigError(
            f"{name} is an output whose {_parts(graph, name)} parts have scales of their own; make "
            "it with parts=1."
        )


def _parts(graph: NetworkGraph, name: str) -> int:
    return 1 if name == graph.image else len(graph.node(name).layer.output_names)


def _check_quantization(graph: NetworkGraph) -> None:
    quantized = [node for node in graph.nodes if node.layer.quantized]
    if not quantized:
        return
    if len(quantized) != len(graph.nodes):
        floating = next(node.name for node in graph.nodes if not node.layer.quantized)
        raise ConfigError(
            f"{quantized[0].name} is quantized and {floating} is not; make all layers without "
            "quantization, and pass the network through quantize(...)."
        )
    for node in graph.nodes:
        for index, name in enumerate(node.sources):
            if name == graph.image:
                continue
            bits, allowed = graph.node(name).layer.output_bits, node.layer.input_bits(index)
            if bits not in allowed:
                remedy = (
                    "put a LayerNorm between"
                    if bits > max(allowed)
                    else "take what is of the residual stream: a stem's tokens, a sum of Add or of "
                    "FullyConnected(units)([tokens, residual]), or the pool of such"
                )
                raise ConfigError(
                    f"{node.name} takes integers of {max(allowed)} bits where {name} gives {bits}, "
                    f"so that their scales cannot be joined; {remedy}, or quantize with "
                    "residual_bits=8."
                )


def _makers(call: Any) -> Iterator[str]:
    for tensor in call.keras_inputs:
        yield str(_layer(tensor).name)


def _layer(tensor: Any) -> Any:
    return tensor._keras_history.layer


def _call(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.layer.inbound_nodes[history.node_index]
