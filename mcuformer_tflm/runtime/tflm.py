"""TFLM of the tflite-micro wheel with our operators registered."""

from __future__ import annotations

from typing import Any

from mcuformer_tflm.keras_models.exceptions import RuntimeVersionError
from mcuformer_tflm.runtime import library


def open_interpreter(model: bytes, arena_size: int) -> Any:
    """Returns tflite-micro's Python interpreter, tensors allocated.

    Raises:
        RuntimeVersionError: If our operators cannot be registered with the installed TFLM.
        RuntimeError: If TFLM refuses the model or the arena is too small.
    """
    library.load()
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(
            model, custom_op_registerers=[library.REGISTERER], arena_size=arena_size
        )
    except RuntimeError as error:
        if library.REGISTERER in str(error):
            raise RuntimeVersionError(
                f"Our operators cannot be registered with the installed TFLM: "
                f"{library.probe_error()}. Reinstall the supported wheel: "
                f"`pip install --force-reinstall tflite-micro=={library.SUPPORTED_TFLM}`."
            ) from error
        raise
