"""Export of fully connected layers."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import ABSENT, Activation, Graph
from mcuformer_tflm.convert.layer_constants import add_layer, residual_options, weight_bits
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected


def export_fully_connected(
    layer: FullyConnected, graph: Graph, source: Activation, residual: Activation | None = None
) -> Activation:
    """Adds ``McuformerFullyConnected``.

    Without a residual the output takes the place of the input (token overwriting, section
    3.2 of the paper); with one it takes the place of the residual.
    """
    constants, parts = add_layer(graph, layer, source.quantization, residual is not None)
    quantization = parts[0]
    options = {
        "output_zero_point": quantization.zero_point,
        "in_place": int(residual is None),
        "weight_bits": weight_bits(layer),
    }
    if residual is not None:
        options |= residual_options(residual.quantization, quantization)
    inputs = [source.index, ABSENT if residual is None else residual.index, ABSENT, *constants]
    output = graph.add_activation(
        layer.name, (*source.shape[:-1], layer.units), quantization, tuple(parts)
    )
    graph.add_operator("McuformerFullyConnected", inputs, output, options)
    return output
