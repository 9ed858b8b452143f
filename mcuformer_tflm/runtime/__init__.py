"""Models in TensorFlow Lite Micro on this machine."""
