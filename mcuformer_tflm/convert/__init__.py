"""Conversion of a quantized subnet to an int8 ``.tflite`` with custom operators."""

from mcuformer_tflm.convert.converter import convert

__all__ = ["convert"]
