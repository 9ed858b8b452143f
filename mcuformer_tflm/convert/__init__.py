"""Conversion of a quantized subnet to an int8 ``.tflite`` with custom operators."""
