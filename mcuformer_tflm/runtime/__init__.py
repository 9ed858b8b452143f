"""Models in TensorFlow Lite Micro on this machine."""

from mcuformer_tflm.runtime.micro_interpreter import ArenaUse, MicroInterpreter

__all__ = ["ArenaUse", "MicroInterpreter"]
