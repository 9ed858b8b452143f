"""Export of the mean over tokens."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import Quantization, activation_quantization, numbers
from mcuformer_tflm.keras_models.layers.mean_pool import MeanPool, mean_multiplier


def export_mean_pool(layer: MeanPool, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerMeanPool``."""
    quantization = activation_quantization(layer, "output")
    _, tokens, width = source.shape
    options = mean_options(source.quantization, quantization, tokens)
    output = graph.add_activation(layer.name, (1, width), quantization)
    graph.add_operator("McuformerMeanPool", [source.index], output, options)
    return output


def mean_options(source: Quantization, output: Quantization, tokens: int) -> dict[str, int]:
    """Returns the options of an operator that averages so many tokens."""
    multiplier, shift = numbers(mean_multiplier(source, output, tokens))
    return {
        "input_zero_point": source.zero_point,
        "output_zero_point": output.zero_point,
        "multiplier": multiplier,
        "shift": shift,
    }
