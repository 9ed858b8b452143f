"""Export of the mean of neighbouring tokens."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.mean_pool import mean_options
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.keras_models.layers.token_pool import TokenPool


def export_token_pool(layer: TokenPool, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerTokenPool``, whose output takes the place of its input."""
    quantization = activation_quantization(layer, "output")
    window = layer.size**2
    batch, tokens, width = source.shape
    output = graph.add_activation(layer.name, (batch, tokens // window, width), quantization)
    options = {
        "columns": layer.grid[1],
        "size": layer.size,
        **mean_options(source.quantization, quantization, window),
    }
    graph.add_operator("McuformerTokenPool", [source.index], output, options)
    return output
