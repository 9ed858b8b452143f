"""Export of sigmoid-GELU."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.custom_ops.reference.gelu import gelu_table
from mcuformer_tflm.keras_models.gelu import Gelu


def export_gelu(layer: Gelu, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerGelu`` with its table of 256 entries."""
    before, after = source.quantization, activation_quantization(layer, "output")
    table = gelu_table(before.scale, before.zero_point, after.scale, after.zero_point)
    output = graph.add_activation(layer.name, source.shape, after)
    inputs = [source.index, graph.add_constant(f"{layer.name}/table", table)]
    graph.add_operator("McuformerGelu", inputs, output, {})
    return output
