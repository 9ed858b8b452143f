"""Scales and zero points that a model file holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcuformer_tflm.keras_models.quantization.quantizers import QuantizableLayer
from mcuformer_tflm.keras_models.quantization.scales import Quantization

__all__ = ["Quantization", "activation_quantization", "numbers"]


def activation_quantization(layer: QuantizableLayer, name: str) -> Quantization:
    """Returns the quantization of one tensor of the layer in plain numbers."""
    found = layer.tensor_quantization(name)
    return Quantization(float(found.scale), int(found.zero_point), num_bits=found.num_bits)


def numbers(tensors: Iterable[Any]) -> list[int]:
    """Returns integer scalars, such as multiplier and shift, as plain numbers."""
    return [int(tensor) for tensor in tensors]
