"""Export of sigmoid-GELU."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import Quantization, activation_quantization
from mcuformer_tflm.keras_models.layers.gelu import Gelu, gelu_table


def export_gelu(layer: Gelu, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerGelu`` with its table of 256 entries."""
    after = activation_quantization(layer, "output")
    output = graph.add_activation(layer.name, source.shape, after)
    table = add_gelu_table(layer.name, graph, source.quantization, after)
    graph.add_operator("McuformerGelu", [source.index, table], output, {})
    return output


def add_gelu_table(name: str, graph: Graph, before: Quantization, after: Quantization) -> int:
    """Adds the table from one quantization to another and returns its tensor's index."""
    zero_points = (tf.constant(q.zero_point, tf.int64) for q in (before, after))
    table = gelu_table(before.scale, next(zero_points), after.scale, next(zero_points))
    return graph.add_constant(f"{name}/table", table.numpy().astype(np.int8))
