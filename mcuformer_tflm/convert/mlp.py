"""Export of a block's whole MLP."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer_tflm.convert.gelu import add_gelu_table
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.layer_constants import add_layer, residual_options, weight_bits
from mcuformer_tflm.convert.layer_norm import layer_norm_constants
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.layers.gelu import Gelu
from mcuformer_tflm.keras_models.layers.layer_norm import LayerNorm


def export_mlp(
    norm: LayerNorm,
    first: Sequence[FullyConnected],
    gelu: Gelu,
    second: Sequence[FullyConnected],
    graph: Graph,
    source: Activation,
) -> Activation:
    """Adds ``McuformerMlp``, whose output takes the place of its input.

    Args:
        norm: The normalisation.
        first: The matrix before the activation, or the pair whose product it is.
        gelu: The activation.
        second: The matrix behind it, or the pair.
        graph: Where to.
        source: The residual stream, which the last matrix adds its product to.
    """
    norm_constants, options = layer_norm_constants(norm, graph, source)
    y = activation_quantization(norm, "output")
    constants: list[int] = []
    names = ("fc1_rank_zero_point", "hidden_zero_point")[-len(first) :]
    for name, layer in zip(names, first, strict=True):
        added, (y,) = add_layer(graph, layer, y)
        constants += added
        options[name] = y.zero_point
    activated = activation_quantization(gelu, "output")
    table = add_gelu_table(gelu.name, graph, y, activated)
    y = activated
    *pair, last = second
    for layer in pair:
        added, (y,) = add_layer(graph, layer, y)
        constants += added
        options["fc2_rank_zero_point"] = y.zero_point
    added, (y,) = add_layer(graph, last, y, residual=True)
    constants += added
    options |= residual_options(source.quantization, y)
    options |= {"output_zero_point": y.zero_point, "weight_bits": weight_bits(last)}
    output = graph.add_activation(last.name, source.shape, y)
    inputs = [source.index, *norm_constants, table, *constants]
    graph.add_operator("McuformerMlp", inputs, output, options)
    return output
