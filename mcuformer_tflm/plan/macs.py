"""How much a model computes, counted from its operators alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mcuformer_tflm.custom_ops.reference.conv_stem import convolution_sizes, stage_channels
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor


def graph_macs(graph: ModelGraph) -> int:
    """Returns the multiply-accumulates of one image, as ``num_macs`` counts them of a subnet."""
    return sum(_macs(graph, operator) for operator in graph.operators)


def _macs(graph: ModelGraph, operator: Operator) -> int:
    tensors = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    tokens, width = math.prod(source.shape[:-1]), source.shape[-1]
    match operator.code:
        case "McuformerFullyConnected":
            return tokens * _chain(width, tensors[4::2])
        case "McuformerMlp":
            return tokens * _chain(width, tensors[5::2])
        case "McuformerAttention":
            inner = operator.options["num_heads"] * operator.options["head_dim"]
            projected = len(tensors) > 4 and tensors[4] is not None
            return tokens * (projected * 3 * inner * width + 2 * tokens * inner)
        case "McuformerPatchEmbed":
            units, patches = _patches(operator, source, output)
            return patches * units * operator.options["patch_size"] ** 2 * width
        case "McuformerConvStem":
            return _conv_stem(operator, source, output)
    return 0


def _chain(width: int, constants: Sequence[Tensor | None]) -> int:
    # Of layers that follow each other, by the constants of their units.
    total = 0
    for units in [tensor.shape[0] for tensor in constants if tensor is not None]:
        total += width * units
        width = units
    return total


def _patches(operator: Operator, source: Tensor, output: Tensor) -> tuple[int, int]:
    # Units, and patches without a class token.
    patch, height = operator.options["patch_size"], operator.options["image_height"]
    return output.shape[-1], -(-height // patch) * -(-source.shape[2] // patch)


def _conv_stem(operator: Operator, source: Tensor, output: Tensor) -> int:
    height, (width, channels) = operator.options["image_height"], source.shape[2:]
    stages = stage_channels(operator.options)
    sizes = convolution_sizes(height, width, channels, stages, output.shape[-1])
    return sum(map(math.prod, sizes))
