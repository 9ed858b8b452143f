"""Export of a block's whole MLP."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer_tflm.convert.gelu import add_gelu_table
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_constants import add_layer, residual_options, weight_bits
from mcuformer_tflm.convert.layer_norm import layer_norm_constants
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer


def export_mlp(
    layers: Mapping[str, QuantizableLayer], graph: Graph, source: Activation
) -> Activation:
    """Adds ``McuformerMlp``, whose output takes the place of its input.

    Args:
        layers: A block's layers by name: norm_2, fc1_u, fc1_v, gelu, fc2_u, fc2_v; or fc1 and
            fc2 in the place of the pairs.
        graph: Where to.
        source: The residual stream.
    """
    low_rank = "fc1_u" in layers
    norm_constants, options = layer_norm_constants(layers["norm_2"], graph, source)
    y = activation_quantization(layers["norm_2"], "output")
    constants: list[int] = []
    if low_rank:
        added, (y,) = add_layer(graph, layers["fc1_u"], y)
        constants += added
        options["fc1_rank_zero_point"] = y.zero_point
    added, (y,) = add_layer(graph, layers["fc1_v" if low_rank else "fc1"], y)
    constants += added
    options["hidden_zero_point"] = y.zero_point
    activated = activation_quantization(layers["gelu"], "output")
    table = add_gelu_table(layers["gelu"].name, graph, y, activated)
    y = activated
    if low_rank:
        added, (y,) = add_layer(graph, layers["fc2_u"], y)
        constants += added
        options["fc2_rank_zero_point"] = y.zero_point
    last = layers["fc2_v" if low_rank else "fc2"]
    added, (y,) = add_layer(graph, last, y, residual=True)
    constants += added
    options |= residual_options(source.quantization, y)
    options |= {"output_zero_point": y.zero_point, "weight_bits": weight_bits(last)}
    output = graph.add_activation(last.name, source.shape, y)
    inputs = [source.index, *norm_constants, table, *constants]
    graph.add_operator("McuformerMlp", inputs, output, options)
    return output
