"""The kernels on an emulated Cortex-M: same bytes as the host, instructions counted."""
