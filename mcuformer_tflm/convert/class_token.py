"""Export of a class token, which the operator before the blocks writes."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.keras_models.layers.class_token import ClassToken


def add_class_token(layer: ClassToken, graph: Graph, stream: Quantization) -> int:
    """Adds a class token as a constant of the stream's type; returns the tensor's index.

    Args:
        layer: The class token.
        graph: Where to.
        stream: Quantization of the tokens that it precedes.
    """
    token = layer.integer_token().numpy().astype(np.dtype(stream.dtype))
    return graph.add_constant(f"{layer.name}/token", token)
