"""Export of fully connected layers."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import ABSENT, Activation, Graph
from mcuformer_tflm.convert.layer_constants import add_layer, residual_options, weight_bits
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected


def export_fully_connected(
    layer: FullyConnected,
    graph: Graph,
    source: Activation,
    residual: Activation | None = None,
    first: FullyConnected | None = None,
) -> Activation:
    """Adds ``McuformerFullyConnected``.

    Without a residual the output takes the place of the input (token overwriting, section
    3.2 of the paper); with one it takes the place of the residual.

    Args:
        layer: The layer.
        graph: Where to.
        source: Its input, or that of ``first``.
        residual: What is added.
        first: Its input's layer, U of a low-rank pair of which it is V.
    """
    inner = source.quantization
    constants: list[int] = []
    options: dict[str, int] = {}
    if first is not None:
        constants, (inner,) = add_layer(graph, first, inner)
        options["rank_zero_point"] = inner.zero_point
    added, parts = add_layer(graph, layer, inner, residual is not None)
    constants += added
    quantization = parts[0]
    options |= {
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
