"""Export of attention."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.custom_ops.reference.attention import exp_table
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.attention import LOGIT_STEP, Attention

_PROBABILITY_ONE = 256


def export_attention(layer: Attention, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerAttention`` on joint queries, keys and values."""
    quantization = activation_quantization(layer, "output")
    query, key, value = source.parts
    score_multiplier, score_shift = quantize_multiplier(
        query.scale * key.scale * layer.head_dim**-0.5 / LOGIT_STEP
    )
    context_multiplier, context_shift = quantize_multiplier(
        value.scale / _PROBABILITY_ONE / quantization.scale
    )
    batch, tokens, width = source.shape
    output = graph.add_activation(layer.name, (batch, tokens, width // 3), quantization)
    options = {
        "num_heads": width // 3 // layer.head_dim,
        "head_dim": layer.head_dim,
        "q_zero_point": query.zero_point,
        "k_zero_point": key.zero_point,
        "v_zero_point": value.zero_point,
        "output_zero_point": quantization.zero_point,
        "score_multiplier": score_multiplier,
        "score_shift": score_shift,
        "context_multiplier": context_multiplier,
        "context_shift": context_shift,
    }
    inputs = [source.index, graph.add_constant("attention/exp_table", exp_table(LOGIT_STEP))]
    graph.add_operator("McuformerAttention", inputs, output, options)
    return output
