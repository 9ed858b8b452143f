"""Quantization of trained networks, and the report of what it costs."""
