"""The loops of a model's operators (``search/cost/operator_loops.py``), read from its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.custom_ops.reference.conv_stem import stage_channels
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.plan.operator_memory import block_tokens_of
from mcuformer_tflm.search.cost.operator_loops import (
    AttentionLoops,
    ConvStemLoops,
    ElementLoops,
    FullyConnectedLoops,
    InputLoops,
    LayerNormLoops,
    MlpLoops,
    OperatorLoops,
    PatchEmbedLoops,
    PoolLoops,
)
from mcuformer_tflm.tflite.image_input import reads_strips
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor


def graph_loops(graph: ModelGraph) -> list[OperatorLoops | None]:
    """Returns the loops of each operator in order; None of a foreign one."""
    return [_loops(graph, operator) for operator in graph.operators]


def input_loops(graph: ModelGraph) -> InputLoops:
    """Returns the copies of image and outputs around the operators."""
    return InputLoops(
        0 if reads_strips(graph) else sum(graph.tensors[index].size for index in graph.inputs),
        sum(graph.tensors[index].size for index in graph.outputs),
    )


def _loops(graph: ModelGraph, operator: Operator) -> OperatorLoops | None:
    tensors = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
    tensors += [None] * (9 - len(tensors))
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    tokens, width = math.prod(output.shape[:-1]), source.shape[-1]
    weight_bits = operator.options.get("weight_bits", 8)
    match operator.code:
        case "McuformerFullyConnected":
            return FullyConnectedLoops(
                tokens, width, output.shape[-1],
                rank=_units(tensors[4]) if tensors[5] else 0,
                weight_bits=weight_bits,
                residual_bits=_bits(tensors[1]) if tensors[1] else 0,
                gelu=tensors[2] is not None,
                slow_units=_slow_units(tensors),
                block_tokens=block_tokens_of(operator),
            )  # fmt: skip
        case "McuformerMlp":
            layers = [_units(tensor) for tensor in tensors[5::2] if tensor]
            hidden, rank = (layers[1], layers[0]) if len(layers) == 4 else (layers[0], 0)
            return MlpLoops(
                tokens, width, hidden,
                rank=rank,
                weight_bits=weight_bits,
                residual_bits=_bits(source),
                slow_units=_slow_units(tensors),
                block_tokens=block_tokens_of(operator),
            )  # fmt: skip
        case "McuformerAttention":
            return _attention(operator, tensors, output, weight_bits)
        case "McuformerLayerNorm":
            return LayerNormLoops(tokens, width, bits=_bits(source))
        case "McuformerMeanPool":
            return PoolLoops(tokens, math.prod(source.shape[:-1]), width)
        case "McuformerTokenPool":
            size = operator.options["size"]
            return PoolLoops(tokens, size**2, width, bits=_bits(source), whole=False)
        case "McuformerPatchEmbed" | "McuformerConvStem":
            return _stem(operator, source, output, tensors)
        case "McuformerGelu":
            return ElementLoops("GELU", 1, source.size)
        case "McuformerAdd":
            size = math.prod(output.shape)
            bits = sorted({_bits(tensor) for tensor in (*tensors[:2], output) if tensor})
            return ElementLoops("sum of " + " and ".join(f"int{b}" for b in bits), 1, size)
        case "McuformerSoftmax":
            return ElementLoops("softmax", tokens, width)
        case "McuformerArgmax":
            return ElementLoops("argmax", math.prod(source.shape[:-1]), width)
    return None


def _attention(
    operator: Operator, tensors: Sequence[Tensor | None], output: Tensor, weight_bits: int
) -> AttentionLoops:
    source, gamma, projection, low_rank = tensors[0], tensors[2], tensors[4], tensors[8]
    assert source is not None
    width, head_dim = source.shape[-1], operator.options["head_dim"]
    tokens, rows = math.prod(output.shape[:-1]), operator.options.get("grid", 0)
    columns = operator.options.get("grid_columns", rows)
    return AttentionLoops(
        tokens,
        0 if projection is None else _units(low_rank) if low_rank else width,
        output.shape[-1] // head_dim,
        head_dim,
        weight_bits=weight_bits,
        norm_width=0 if gamma is None else width,
        norm_bits=_bits(source),
        low_rank=width if low_rank else 0,
        position_bias=tensors[6] is not None,
        class_tokens=0 if tensors[6] is None else tokens - rows * columns,
        block_tokens=block_tokens_of(operator),
    )


def _stem(
    operator: Operator, source: Tensor, output: Tensor, tensors: Sequence[Tensor | None]
) -> PatchEmbedLoops | ConvStemLoops:
    options, (width, channels) = operator.options, source.shape[2:]
    mode, dim = MODES[options["mode"]], output.shape[-1]
    height, class_token = options.get("image_height", source.shape[1]), tensors[4] is not None
    how: dict[str, Any] = {
        "mode": mode, "bits": _bits(output), "class_token": class_token,
        "slow_units": _slow_units(tensors[:3], dim),
    }  # fmt: skip
    if operator.code == "McuformerConvStem":
        return ConvStemLoops(height, width, channels, stage_channels(options), dim, **how)
    return PatchEmbedLoops(
        height, width, channels, options["patch_size"], dim, tile=options["tile"], **how
    )


def _slow_units(tensors: Sequence[Tensor | None], last: int | None = None) -> int:
    # Of the last layer, by its multipliers and shifts (RescaleDown::Serves, fixed_point.h).
    constants = [t for t in tensors if t and t.dtype == "int32" and t.shape[-1:] == (3,)]
    data = constants[-1].data
    if len(data) < constants[-1].size:  # not known yet
        return 0
    _, multiplier, shift = np.frombuffer(data, np.int32).reshape(-1, 3)[-(last or 0) :].T
    return int(np.sum((shift >= 0) | (multiplier < 1 << 30)))


def _units(constants: Tensor | None) -> int:
    assert constants is not None
    return constants.shape[0]


def _bits(tensor: Tensor | None) -> int:
    assert tensor is not None
    return 8 * np.dtype(tensor.dtype).itemsize
