"""Export of the patch embedding."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.fully_connected import RESIDUAL_ONE, residual_options
from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import (
    activation_quantization,
    fold_bias,
    quantize_weights,
)
from mcuformer_tflm.convert.weights import add_weights
from mcuformer_tflm.keras_models.patch_embed import PatchEmbed


def export_patch_embed(
    layer: PatchEmbed, graph: Graph, source: Activation, tile: int = 4
) -> Activation:
    """Adds ``McuformerPatchEmbed``, summed over partial convolutions of ``tile`` pixels."""
    quantization = activation_quantization(layer, "output")
    position_quantization = activation_quantization(layer, "position")
    weights, weight_scales = quantize_weights(layer, layer.kernel.numpy())
    weights = np.ascontiguousarray(weights.transpose(3, 0, 1, 2))
    factors = weight_scales * source.quantization.scale / quantization.scale * RESIDUAL_ONE
    bias = fold_bias(layer.bias.numpy(), weights, weight_scales, source.quantization)
    position = np.rint(layer.position.numpy() / position_quantization.scale)
    options = residual_options(position_quantization, quantization)
    del options["residual_zero_point"]
    inputs = [
        source.index,
        *add_weights(graph, layer.name, weights, bias, factors),
        graph.add_constant(f"{layer.name}/position", np.clip(position, -127, 127).astype(np.int8)),
    ]
    shape = (1, layer.num_tokens, layer.embed_dim)
    output = graph.add_activation(layer.name, shape, quantization)
    graph.add_operator(
        "McuformerPatchEmbed",
        inputs,
        output,
        options
        | {
            "input_zero_point": source.quantization.zero_point,
            "output_zero_point": quantization.zero_point,
            "patch_size": layer.patch_size,
            "tile": tile,
        },
    )
    return output
