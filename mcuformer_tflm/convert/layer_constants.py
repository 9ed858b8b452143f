"""Weights and constants that every product of a matrix has in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.quantization import (
    Quantization,
    activation_quantization,
    numbers,
)
from mcuformer_tflm.custom_ops.reference.dot import pack_weights, unit_constants
from mcuformer_tflm.keras_models.layers.fully_connected import FullyConnected
from mcuformer_tflm.keras_models.quantization.integer_matrix import (
    integer_matrix,
    residual_multiplier,
)
from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer


def layer_constants(
    layer: QuantizableLayer,
    source: Quantization,
    outputs: Sequence[Quantization],
    residual: bool = False,
    *,
    kernel: str = "kernel",
    bias: str = "bias",
) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes the layer's kernel and bias.

    Args:
        layer: A layer with ``kernel`` [..., units] and ``bias`` [units].
        source: Quantization of its input.
        outputs: Quantization of its output, or of each equal group of its units.
        residual: Whether the output is added to a residual, which keeps 8 fractional bits.
        kernel: Name of the kernel, where the layer has several.
        bias: Name of its bias.

    Returns:
        int8[..., units] of the kernel's shape, and int32[units, 3]: bias with the input's zero
        point folded in, multiplier, shift.
    """
    matrix = integer_matrix(layer, source, kernel=kernel, bias=bias)
    multipliers = [part.numpy() for part in matrix.multipliers(outputs, residual)]
    weights = matrix.weights.numpy().astype(np.int8)
    return weights, unit_constants(matrix.bias.numpy(), *multipliers)


def add_layer(
    graph: Graph,
    layer: FullyConnected,
    source: Quantization,
    residual: bool = False,
) -> tuple[list[int], list[Quantization]]:
    """Adds a fully connected layer's packed weights and constants.

    Returns:
        Indices of the two tensors, in the order in which operators take them, and the
        quantization of the layer's output, or of each part of it.
    """
    outputs = [activation_quantization(layer, name) for name in layer.output_names]
    weights, constants = layer_constants(layer, source, outputs, residual)
    indices = [
        graph.add_constant(f"{layer.name}/weights", pack_weights(weights.T, weight_bits(layer))),
        graph.add_constant(f"{layer.name}/constants", constants),
    ]
    return indices, outputs


def weight_bits(layer: QuantizableLayer) -> int:
    """Returns the bits of the layer's weights, 8 or 4."""
    return int(layer.quantizer("kernel").num_bits)


def residual_options(residual: Quantization, output: Quantization) -> dict[str, int]:
    """Returns the options that rescale a residual to the output's units."""
    multiplier, shift = numbers(residual_multiplier(residual, output))
    return {
        "residual_zero_point": residual.zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": shift,
    }
