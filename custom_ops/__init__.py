"""Integer operators: portable C++ kernels, their numpy twins and their TFLM adapters."""
