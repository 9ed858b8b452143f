"""Export of layer normalisation."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.keras_models.layers.class_token import ClassTokenPool
from mcuformer_tflm.keras_models.layers.layer_norm import (
    LayerNorm,
    fold_layer_norm,
    integer_epsilon,
)


def export_layer_norm(
    layer: LayerNorm, graph: Graph, source: Activation, pool: ClassTokenPool | None = None
) -> Activation:
    """Adds ``McuformerLayerNorm``.

    Args:
        layer: The layer.
        graph: Where to.
        source: The tokens that are normalised.
        pool: What takes the first of them, where the others are not read.
    """
    quantization = activation_quantization(layer, "output")
    constants, options = layer_norm_constants(layer, graph, source)
    name, shape = layer.name, source.shape
    if pool is not None:
        name, shape = pool.name, (1, source.shape[-1])
    output = graph.add_activation(name, shape, quantization)
    # An epsilon has any width; others' options hold multipliers.
    graph.add_operator(
        "McuformerLayerNorm", [source.index, *constants], output, options, option_bytes=4
    )
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
    scale, zero_point = quantization.scale, quantization.zero_point
    folded = fold_layer_norm(layer.gamma, layer.beta, scale, tf.constant(zero_point, tf.int64))
    gamma, beta, normalised_bits = (part.numpy() for part in folded)
    constants = [
        graph.add_constant(f"{layer.name}/gamma", gamma.astype(np.int16)),
        graph.add_constant(f"{layer.name}/beta", beta.astype(np.int32)),
    ]
    options = {
        "normalised_bits": int(normalised_bits),
        "epsilon": int(integer_epsilon(source.shape[-1], source.quantization.scale)),
        "iterations": layer.iterations,
    }
    return constants, options
