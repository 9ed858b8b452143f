"""Export of the mean of neighbouring tokens."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization, numbers
from mcuformer_tflm.keras_models.layers.mean_pool import mean_multiplier
from mcuformer_tflm.keras_models.layers.token_pool import TokenPool


def export_token_pool(layer: TokenPool, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerTokenPool``, whose output takes the place of its input."""
    quantization = activation_quantization(layer, "output")
    window = layer.size**2
    multiplier, shift = numbers(mean_multiplier(source.quantization, quantization, window))
    batch, tokens, width = source.shape
    output = graph.add_activation(layer.name, (batch, tokens // window, width), quantization)
    options = {
        "columns": layer.grid[1],
        "size": layer.size,
        "input_zero_point": source.quantization.zero_point,
        "output_zero_point": quantization.zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    graph.add_operator("McuformerTokenPool", [source.index], output, options)
    return output
