"""Export of layer normalisation."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import activation_quantization
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.layer_norm import EPSILON, LayerNorm

# The operator holds a normalised value with 10 fractional bits and a gain in 16 bits.
_NORMALISED_ONE = 1 << 10
_GAIN_MAX = 2**15 - 1
# A shift this many times the gain still leaves room for the sum of both in 32 bits.
_SHIFT_ROOM = 16


def export_layer_norm(
    layer: LayerNorm, graph: Graph, source: Activation, iterations: int = 4
) -> Activation:
    """Adds ``McuformerLayerNorm``; gamma and beta become fixed-point gains and shifts."""
    quantization = activation_quantization(layer, "output")
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    gain_scale = max(np.abs(gamma).max(), np.abs(beta).max() / _SHIFT_ROOM, 1e-6) / _GAIN_MAX
    multiplier, shift = quantize_multiplier(gain_scale / _NORMALISED_ONE / quantization.scale)
    # The operator's variance counts in (width * integer)^2.
    epsilon = round(EPSILON * (source.shape[-1] / source.quantization.scale) ** 2)
    output = graph.add_activation(layer.name, source.shape, quantization)
    graph.add_operator(
        "McuformerLayerNorm",
        [
            source.index,
            graph.add_constant(f"{layer.name}/gamma", np.rint(gamma / gain_scale).astype(np.int16)),
            graph.add_constant(
                f"{layer.name}/beta",
                np.rint(beta / gain_scale * _NORMALISED_ONE).astype(np.int32),
            ),
        ],
        output,
        {
            "multiplier": multiplier,
            "shift": shift,
            "output_zero_point": quantization.zero_point,
            "epsilon": min(epsilon, 2**31 - 1),
            "iterations": iterations,
        },
    )
    return output
