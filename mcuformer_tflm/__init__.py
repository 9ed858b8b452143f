"""Vision transformers on microcontrollers: search, quantize, convert, run in TFLM."""
