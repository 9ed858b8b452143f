"""Constants that fully connected layers and the patch embedding have in common."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.quantization import quantize_multipliers


def add_weights(
    graph: Graph, name: str, weights: np.ndarray, bias: np.ndarray, factors: np.ndarray
) -> list[int]:
    """Adds weights, bias, multipliers and shifts as constants.

    Args:
        graph: Where to.
        name: Of the layer.
        weights: int8[units, ...].
        bias: int32[units].
        factors: float[units], from an accumulator to the output.

    Returns:
        The four tensors' indices, in the order in which the operators take them.
    """
    multipliers, shifts = quantize_multipliers(factors)
    return [
        graph.add_constant(f"{name}/weights", weights),
        graph.add_constant(f"{name}/bias", bias),
        graph.add_constant(f"{name}/multiplier", multipliers),
        graph.add_constant(f"{name}/shift", shifts),
    ]
