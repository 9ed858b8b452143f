"""Export of attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.convert.graph import ABSENT, Activation, Graph
from mcuformer_tflm.convert.layer_constants import add_layer, layer_constants, weight_bits
from mcuformer_tflm.convert.layer_norm import layer_norm_constants
from mcuformer_tflm.convert.quantization import Quantization, activation_quantization, numbers
from mcuformer_tflm.custom_ops.reference.attention import exp_table, pack_qkv
from mcuformer_tflm.keras_models.layers.attention import (
    LOGIT_STEP,
    Attention,
    context_multiplier,
    integer_bias,
    score_multiplier,
)
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm


def export_attention(
    layer: Attention,
    qkv: FullyConnected,
    graph: Graph,
    source: Activation,
    norm: LayerNorm | None = None,
    qkv_u: FullyConnected | None = None,
) -> Activation:
    """Adds ``McuformerAttention``, which computes queries, keys and values head by head.

    Args:
        layer: The attention.
        qkv: The layer that gives its queries, keys and values.
        graph: Where to.
        source: The tokens.
        norm: The normalisation before, done again for each head rather than kept; None where
            ``source`` is normalised.
        qkv_u: U of a low-rank pair of which ``qkv`` is V, computed again for each head, too.
    """
    normalised, norm_constants = source.quantization, [ABSENT, ABSENT]
    options: dict[str, int] = {}
    if norm is not None:
        normalised = activation_quantization(norm, "output")
        norm_constants, options = layer_norm_constants(norm, graph, source)
    parts = [activation_quantization(qkv, name) for name in qkv.output_names]
    inner = normalised
    if qkv_u is not None:
        inner = activation_quantization(qkv_u, "output")
        options["rank_zero_point"] = inner.zero_point
    weights, constants = layer_constants(qkv, inner, parts)
    num_heads = qkv.units // len(parts) // layer.head_dim
    packed, ordered = pack_qkv(weights.T, constants, num_heads, layer.head_dim, weight_bits(qkv))
    inputs = [
        source.index,
        _exp_table(graph),
        *norm_constants,
        graph.add_constant(f"{qkv.name}/weights", packed),
        graph.add_constant(f"{qkv.name}/constants", ordered),
    ]
    options["weight_bits"] = weight_bits(qkv)
    options |= _add_position_bias(layer, graph, inputs)
    if qkv_u is not None:
        low_rank, _ = add_layer(graph, qkv_u, normalised)
        inputs += [ABSENT] * (layer.grid is None) + low_rank
    return _add(layer, graph, source, parts, num_heads, inputs, options)


def export_attention_on_qkv(layer: Attention, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerAttention`` on queries, keys and values that another operator computed."""
    num_heads = source.shape[-1] // 3 // layer.head_dim
    inputs = [source.index, _exp_table(graph)]
    if layer.grid is not None:
        inputs += [ABSENT] * 4
    options = _add_position_bias(layer, graph, inputs)
    return _add(layer, graph, source, source.parts, num_heads, inputs, options)


def _add_position_bias(layer: Attention, graph: Graph, inputs: list[int]) -> dict[str, int]:
    # int16[heads, rows, columns] in units of a logit, by the steps from the query to the key (the
    # layer counts from the key to the query), in one row with what a class token adds.
    if layer.grid is None:
        return {}
    rows, columns = layer.grid
    span = 2 * rows - 1, 2 * columns - 1
    bias = integer_bias(layer.relative_bias).numpy().astype(np.int16)
    steps, others = np.split(bias, [math.prod(span)], axis=1)
    bias = np.concatenate([steps[:, ::-1], others], 1)
    if not layer.class_token:
        bias = bias.reshape(-1, *span)
    inputs.append(graph.add_constant(f"{layer.name}/position_bias", bias))
    # One number serves a square.
    return {"grid": rows} if rows == columns else {"grid": rows, "grid_columns": columns}


def _exp_table(graph: Graph) -> int:
    return graph.add_constant("attention/exp_table", exp_table(LOGIT_STEP))


def _add(
    layer: Attention,
    graph: Graph,
    source: Activation,
    parts: Sequence[Quantization],
    num_heads: int,
    inputs: Sequence[int],
    options: dict[str, int],
) -> Activation:
    query, key, value = parts
    quantization = activation_quantization(layer, "output")
    multiplier, shift = numbers(score_multiplier(query, key, layer.head_dim))
    out_multiplier, out_shift = numbers(context_multiplier(value, quantization))
    shape = (*source.shape[:-1], num_heads * layer.head_dim)
    output = graph.add_activation(layer.name, shape, quantization)
    options = {
        **options,
        "num_heads": num_heads,
        "head_dim": layer.head_dim,
        "output_zero_point": quantization.zero_point,
        "score_multiplier": multiplier,
        "score_shift": shift,
        "context_multiplier": out_multiplier,
        "context_shift": out_shift,
    }
    graph.add_operator("McuformerAttention", inputs, output, options)
    return output
