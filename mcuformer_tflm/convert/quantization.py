"""Scales, zero points and quantized constants from what TF-MOT's quantizers learned."""

from __future__ import annotations

import dataclasses

import numpy as np

from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.quantizers import QuantizableLayer


@dataclasses.dataclass(frozen=True)
class Quantization:
    """real = scale * (integer - zero_point), per tensor, int8 or int16."""

    scale: float
    zero_point: int = 0
    num_bits: int = 8

    @property
    def dtype(self) -> str:
        """Name of the integer type."""
        return f"int{self.num_bits}"


def activation_quantization(layer: QuantizableLayer, name: str) -> Quantization:
    """Returns what TensorFlow's fake quantization applies to that tensor of the layer.

    Ranges contain zero; the zero point is nudged to an integer as in
    ``tf.quantization.fake_quant_with_min_max_vars``.
    """
    low, high = layer.quantization_range(name)
    bits = layer.quantizer(name).num_bits
    greatest = 2 ** (bits - 1) - 1
    if layer.quantizer(name).narrow_range:
        return Quantization(high / greatest, 0, bits)
    least = -greatest - 1
    scale = (high - low) / (greatest - least)
    zero_point = int(np.clip(np.floor(least - low / scale + 0.5), least, greatest))
    return Quantization(scale, zero_point, bits)


def quantize_weights(layer: QuantizableLayer, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes a kernel whose last axis is the output channel.

    Returns:
        int8 of the kernel's shape within [-127, 127], or [-7, 7] for 4 bits, and float64
        scales[channels].
    """
    _, high = layer.channel_ranges("kernel")
    limit = 2 ** (layer.quantizer("kernel").num_bits - 1) - 1
    scales = np.where(high > 0, high, 1.0).astype(np.float64) / limit
    return np.clip(np.rint(kernel / scales), -limit, limit).astype(np.int8), scales


def quantize_multipliers(reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int32 multipliers and int8 shifts for many real factors."""
    pairs = [quantize_multiplier(float(real)) for real in reals]
    multipliers, shifts = zip(*pairs, strict=True)
    return np.array(multipliers, np.int32), np.array(shifts, np.int8)


def fold_bias(
    bias: np.ndarray, weights: np.ndarray, scales: np.ndarray, source: Quantization
) -> np.ndarray:
    """Returns the int32 bias[out] with the input's zero point folded in.

    Args:
        bias: float[out].
        weights: int8[out, ...].
        scales: float[out] of the weights.
        source: Quantization of the input.
    """
    sums = weights.reshape(len(weights), -1).astype(np.int64).sum(1)
    folded = np.rint(bias / (scales * source.scale)) - source.zero_point * sums
    return np.clip(folded, -(2**31), 2**31 - 1).astype(np.int32)
