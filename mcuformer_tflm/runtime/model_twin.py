"""Runs a converted model with the numpy twins alone, every tensor of it in sight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mcuformer_tflm.custom_ops.reference.add import add
from mcuformer_tflm.custom_ops.reference.argmax import argmax
from mcuformer_tflm.custom_ops.reference.attention import attention
from mcuformer_tflm.custom_ops.reference.conv_stem import (
    conv_stem,
    stage_channels,
    unpack_stem_weights,
)
from mcuformer_tflm.custom_ops.reference.dot import packed_weight_bytes, unpack_weights
from mcuformer_tflm.custom_ops.reference.fully_connected import fully_connected
from mcuformer_tflm.custom_ops.reference.gelu import gelu
from mcuformer_tflm.custom_ops.reference.layer_norm import layer_norm
from mcuformer_tflm.custom_ops.reference.mean_pool import mean_pool
from mcuformer_tflm.custom_ops.reference.mlp import mlp
from mcuformer_tflm.custom_ops.reference.patch_embed import patch_embed
from mcuformer_tflm.custom_ops.reference.softmax import softmax
from mcuformer_tflm.custom_ops.reference.token_pool import token_pool
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.images import check_integer_dtype
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor

_NORM = ("normalised_bits", "epsilon", "iterations")


def run_twin(graph: ModelGraph, source: np.ndarray) -> np.ndarray:
    """Returns the output for one input with its batch of 1."""
    return twin_values(graph, source)[graph.outputs[0]]


def twin_values(graph: ModelGraph, source: np.ndarray) -> dict[int, np.ndarray]:
    """Returns every activation by the index of its tensor, for one input with its batch of 1.

    Raises:
        DataError: If the input is not int8.
        ModelError: If an operator is none of ours.
    """
    check_integer_dtype(source)
    values = {graph.inputs[0]: source}
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]]
        inputs = operator_inputs(graph, values, operator)
        result = run_operator(operator, inputs, output)
        values[operator.outputs[0]] = result.reshape(output.shape)
    return values


def operator_inputs(
    graph: ModelGraph, values: dict[int, np.ndarray], operator: Operator
) -> list[Any]:
    """Returns an operator's inputs: activations from ``values``, constants from the file."""
    return [_value(graph, values, index) for index in operator.inputs]


def _value(graph: ModelGraph, values: dict[int, np.ndarray], index: int) -> Any:
    if index < 0:
        return None
    tensor = graph.tensors[index]
    if tensor.constant:
        return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    return values[index]


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


def _layers(inputs: list[Any], width: int, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    # Weights and constants of layers that follow each other.
    for packed, constants in zip(inputs[::2], inputs[1::2], strict=True):
        yield unpack_weights(packed, len(constants), width, bits), constants
        width = len(constants)


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], int]:
    norm = {name: options.pop(name) for name in _NORM if name in options}
    return norm, options.pop("weight_bits", 8)


def run_operator(operator: Operator, inputs: list[Any], output: Tensor) -> np.ndarray:
    """Returns what one operator's twin gives.

    Args:
        operator: The operator.
        inputs: Arrays in the operator's order; None where one is absent.
        output: What it writes, for type and shape.

    Raises:
        ModelError: If the operator is none of ours.
    """
    options: dict[str, Any] = dict(operator.options)
    match operator.code:
        case "McuformerPatchEmbed":
            return _patch_embed(inputs, options, np.dtype(output.dtype).type)
        case "McuformerConvStem":
            return _conv_stem(operator, inputs, np.dtype(output.dtype).type)
        case "McuformerLayerNorm":
            tokens = math.prod(output.shape[:-1])  # the leading ones of the input
            return layer_norm(_rows(inputs[0])[:tokens], *inputs[1:], **options)
        case "McuformerFullyConnected":
            _, bits = _split(options)
            del options["in_place"]
            x, residual, table, *packed = inputs
            *first, last = _layers(packed, x.shape[-1], bits)
            x = _rows(x)
            if first:
                x = fully_connected(x, *first[0], options.pop("rank_zero_point"))
            return fully_connected(
                x, *last, gelu_table=table,
                residual=None if residual is None else _rows(residual), **options,
            )  # fmt: skip
        case "McuformerAttention":
            return _attention(inputs, options)
        case "McuformerMlp":
            norm, bits = _split(options)
            x, gamma, beta, table, *packed = inputs
            layers = list(_layers(packed, x.shape[-1], bits))
            return mlp(_rows(x), gamma, beta, table, layers, norm, **options)
        case "McuformerGelu":
            return gelu(*inputs)
        case "McuformerMeanPool":
            return mean_pool(_rows(inputs[0]), **options)
        case "McuformerSoftmax":
            return softmax(_rows(inputs[0]), inputs[1])
        case "McuformerAdd":
            return add(*inputs, **options)
        case "McuformerTokenPool":
            return token_pool(_rows(inputs[0]), **options)
        case "McuformerArgmax":
            return argmax(_rows(inputs[0]))
    raise ModelError(f"{operator.code} has no twin.")


def _attention(inputs: list[Any], options: dict[str, Any]) -> np.ndarray:
    # Those at the end may be absent.
    absent: list[Any] = [None] * (9 - len(inputs))
    x, table, gamma, beta, packed, constants, bias, *low_rank = inputs + absent
    x = _rows(x)
    norm, bits = _split(options)
    if gamma is not None:
        x = layer_norm(x, gamma, beta, **norm)
    if low_rank[0] is not None:
        (first,) = _layers(low_rank, x.shape[-1], bits)
        x = fully_connected(x, *first, options.pop("rank_zero_point"))
    if packed is not None:
        x = fully_connected(x, *_unpack_qkv(packed, constants, x.shape[-1], options, bits), 0)
    return attention(x, table, position_bias=bias, **options)


def _unpack_qkv(
    packed: np.ndarray, constants: np.ndarray, width: int, options: dict[str, Any], bits: int
) -> tuple[np.ndarray, np.ndarray]:
    heads, head_dim = options["num_heads"], options["head_dim"]
    step = packed_weight_bytes(head_dim, width, bits)
    parts = [
        unpack_weights(part.reshape(-(-head_dim // 2), -1, 2, 4), head_dim, width, bits)
        for part in packed.reshape(-1, step)
    ]
    weights = np.stack(parts).reshape(heads, 3, head_dim, width).swapaxes(0, 1)
    ordered = constants.reshape(heads, 3, head_dim, 3).swapaxes(0, 1)
    return weights.reshape(-1, width), ordered.reshape(-1, 3)


def _patch_embed(inputs: list[Any], options: dict[str, Any], dtype: Any) -> np.ndarray:
    image, packed, constants, *rest = inputs
    patch, tile, channels = options["patch_size"], options["tile"], image.shape[-1]
    for name in ("patch_size", "tile", "mode", "image_height"):
        del options[name]
    position, class_token = rest + [None] * (2 - len(rest))
    for name in ("multiplier", "shift"):
        options[f"residual_{name}"] = options.pop(f"position_{name}")
    weights = _unpack_tiles(packed, len(constants), patch, tile, channels)
    return patch_embed(
        image[0], weights, constants, position=position, class_token=class_token, dtype=dtype,
        **options,
    )  # fmt: skip


def _conv_stem(operator: Operator, inputs: list[Any], dtype: Any) -> np.ndarray:
    absent: list[Any] = [None] * (5 - len(inputs))
    image, packed, constants, position, class_token = inputs + absent
    options, channels = operator.options, stage_channels(operator.options)
    embed_dim = len(constants) - sum(channels)
    kernels, projection = unpack_stem_weights(packed, image.shape[-1], channels, embed_dim)
    return conv_stem(
        image[0], kernels, projection, constants, options["input_zero_point"],
        options["output_zero_point"], position, options.get("position_multiplier", 0),
        options.get("position_shift", 0), class_token, dtype,
    )  # fmt: skip


def _unpack_tiles(
    packed: np.ndarray, embed_dim: int, patch: int, tile: int, channels: int
) -> np.ndarray:
    weights = np.empty((embed_dim, patch, patch, channels), np.int8)
    start = 0
    for y in range(0, patch, tile):
        for x in range(0, patch, tile):
            part = weights[:, y : y + tile, x : x + tile]
            inner = part[0].size
            size = packed_weight_bytes(embed_dim, inner)
            rows = packed[start : start + size].reshape(-(-embed_dim // 2), -1, 2, 4)
            part[...] = unpack_weights(rows, embed_dim, inner).reshape(part.shape)
            start += size
    return weights
