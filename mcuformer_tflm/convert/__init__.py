"""Conversion of a quantized network to an int8 ``.tflite`` with custom operators."""
