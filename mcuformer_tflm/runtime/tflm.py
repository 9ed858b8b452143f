"""TFLM of the tflite-micro wheel with our operators registered."""

from __future__ import annotations

from typing import Any

from mcuformer_tflm.custom_ops import library


def open_interpreter(model: bytes, arena_size: int) -> Any:
    """Returns tflite-micro's Python interpreter, tensors allocated.

    Raises:
        RuntimeVersionError: If our operators cannot be registered with the installed TFLM.
        RuntimeError: If TFLM refuses the model or the arena is too small.
    """
    library.load()
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_bytes(
        model, custom_op_registerers=[library.REGISTERER], arena_size=arena_size
    )
