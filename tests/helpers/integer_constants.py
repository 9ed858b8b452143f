"""Integer constants of a layer by numpy alone: the route that exporter and training do not take."""

import numpy as np

from mcuformer_tflm.custom_ops.reference.dot import unit_constants
from mcuformer_tflm.custom_ops.reference.fixed_point import quantize_multiplier
from mcuformer_tflm.keras_models.quantization.scales import Quantization


def quantization_of(layer, name):
    low, high = layer.quantization_range(name)
    bits = layer.quantizer(name).num_bits
    greatest = 2 ** (bits - 1) - 1
    if layer.quantizer(name).narrow_range:
        return Quantization(high / greatest, 0, num_bits=bits)
    least = -greatest - 1
    scale = (high - low) / (greatest - least)
    zero_point = int(np.clip(np.floor(least - low / scale + 0.5), least, greatest))
    return Quantization(scale, zero_point, num_bits=bits)


def layer_constants(layer, source, outputs, residual=False, kernel="kernel", bias="bias"):
    """Weights int8[..., units], and int32[units, 3]: bias, multiplier, shift."""
    _, high = layer.channel_ranges(kernel)
    limit = 2 ** (layer.quantizer(kernel).num_bits - 1) - 1
    scales = np.where(high > 0, high, 1.0).astype(np.float64) / limit
    weights = np.clip(np.rint(getattr(layer, kernel).numpy() / scales), -limit, limit).astype(
        np.int8
    )
    units = weights.shape[-1]
    output_scales = np.repeat([part.scale for part in outputs], units // len(outputs))
    factors = scales * source.scale / output_scales * (256 if residual else 1)
    sums = weights.reshape(-1, units).astype(np.int64).sum(0)
    bias = (
        np.rint(getattr(layer, bias).numpy() / (scales * source.scale)) - source.zero_point * sums
    )
    pairs = [quantize_multiplier(float(factor)) for factor in factors]
    multipliers, shifts = zip(*pairs, strict=True)
    return weights, unit_constants(bias, np.array(multipliers), np.array(shifts))


def residual_options(residual, output):
    multiplier, shift = quantize_multiplier(residual.scale / output.scale * 256)
    return {
        "residual_zero_point": residual.zero_point,
        "residual_multiplier": multiplier,
        "residual_shift": shift,
    }
