"""Export of layer normalisation."""

from __future__ import annotations

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.custom_ops.reference.layer_norm import MAX_EPSILON, fold_layer_norm
from mcuformer_tflm.keras_models.layer_norm import EPSILON, LayerNorm


def export_layer_norm(layer: LayerNorm, graph: Graph, source: Activation) -> Activation:
    """Adds ``McuformerLayerNorm``."""
    quantization = activation_quantization(layer, "output")
    constants, options = layer_norm_constants(layer, graph, source)
    output = graph.add_activation(layer.name, source.shape, quantization)
    graph.add_operator("McuformerLayerNorm", [source.index, *constants], output, options)
    return output


def layer_norm_constants(
    layer: LayerNorm, graph: Graph, source: Activation
) -> tuple[list[int], dict[str, int]]:
    """Adds gamma and beta of a layer, alone or inside a fused operator.

    Args:
        layer: The layer.
        graph: Where the constants go.
        source: The tokens that are normalised.

    Returns:
        Indices of gamma and beta, and the options ``normalised_bits``, ``epsilon`` and
        ``iterations``.
    """
    quantization = activation_quantization(layer, "output")
    gamma, beta, normalised_bits = fold_layer_norm(
        layer.gamma.numpy(), layer.beta.numpy(), quantization.scale, quantization.zero_point
    )
    # The operator's variance counts in (width * integer)^2.
    epsilon = round(EPSILON * (source.shape[-1] / source.quantization.scale) ** 2)
    constants = [
        graph.add_constant(f"{layer.name}/gamma", gamma),
        graph.add_constant(f"{layer.name}/beta", beta),
    ]
    options = {
        "normalised_bits": normalised_bits,
        "epsilon": min(epsilon, MAX_EPSILON),
        "iterations": layer.iterations,
    }
    return constants, options
