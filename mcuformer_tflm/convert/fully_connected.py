"""Export of fully connected layers."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.graph import Activation, Graph
from mcuformer_tflm.convert.quantization import (
    Quantization,
    activation_quantization,
    fold_bias,
    quantize_weights,
)
from mcuformer_tflm.convert.weights import add_weights
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.fully_connected import FullyConnected

# Both summands of a residual addition are held with 8 fractional bits.
RESIDUAL_ONE = 1 << 8


def export_fully_connected(
    layer: FullyConnected, graph: Graph, source: Activation, residual: Activation | None = None
) -> Activation:
    """Adds ``McuformerFullyConnected``.

    Without a residual the output takes the place of the input (token overwriting, section
    3.2 of the paper); with one it takes the place of the residual.
    """
    parts = tuple(activation_quantization(layer, name) for name in layer.output_names)
    weights, weight_scales = quantize_weights(layer, layer.kernel.numpy())
    weights = np.ascontiguousarray(weights.T)
    bias = fold_bias(layer.bias.numpy(), weights, weight_scales, source.quantization)
    output_scales = np.repeat([part.scale for part in parts], layer.units // len(parts))
    factors = weight_scales * source.quantization.scale / output_scales
    options = {
        "output_zero_point": parts[0].zero_point,
        "in_place": int(residual is None),
    }
    if residual is not None:
        factors = factors * RESIDUAL_ONE
        options |= residual_options(residual.quantization, parts[0])
    inputs = [
        source.index,
        *add_weights(graph, layer.name, weights, bias, factors),
    ]
    if residual is not None:
        inputs.append(residual.index)
    shape = (*source.shape[:-1], layer.units)
    output = graph.add_activation(layer.name, shape, parts[0], parts if len(parts) > 1 else ())
    graph.add_operator("McuformerFullyConnected", inputs, output, options)
    return output


def residual_options(residual: Quantization, output: Quantization) -> dict[str, int]:
    """Returns the options that rescale a residual to the output's units."""
    multiplier, shift = quantize_multiplier(residual.scale / output.scale * RESIDUAL_ONE)
    return {
        "residual_zero_point": residual.zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": shift,
    }
