"""Export of sigmoid-GELU."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import Quantization, activation_quantization
from mcuformer_tflm.custom_ops.reference.gelu import gelu_table
from mcuformer_tflm.keras_models.gelu import Gelu


def export_gelu(layer: Gelu, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerGelu`` with its table of 256 entries."""
    after = activation_quantization(layer, "output")
    output = graph.add_activation(layer.name, source.shape, after)
    table = add_gelu_table(layer.name, graph, source.quantization, after)
    graph.add_operator("McuformerGelu", [source.index, table], output, {})
    return output


def add_gelu_table(name: str, graph: Graph, before: Quantization, after: Quantization) -> int:
    """Adds the table from one quantization to another and returns its tensor's index."""
    table = gelu_table(before.scale, before.zero_point, after.scale, after.zero_point)
    return graph.add_constant(f"{name}/table", table)
