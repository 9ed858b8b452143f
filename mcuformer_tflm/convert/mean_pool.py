"""Export of the mean over tokens."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization, numbers
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool, mean_multiplier


def export_mean_pool(layer: MeanPool, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerMeanPool``."""
    quantization = activation_quantization(layer, "output")
    _, tokens, width = source.shape
    multiplier, shift = numbers(mean_multiplier(source.quantization, quantization, tokens))
    output = graph.add_activation(layer.name, (1, width), quantization)
    options = {
        "input_zero_point": source.quantization.zero_point,
        "output_zero_point": quantization.zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
    graph.add_operator("McuformerMeanPool", [source.index], output, options)
    return output
