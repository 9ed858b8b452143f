"""The shared library with our operators, loaded beside TFLM's own."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import threading
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.exceptions import RuntimeVersionError

REGISTERER = "McuformerRegisterOps"
SUPPORTED_TFLM = "0.dev20261023182759"
_FILE = "libmcuformer_ops.so"
_LOADING = threading.Lock()

READ_ROWS = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int8)
)
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "McuformerProbeError": (ctypes.c_char_p, []),
    "McuformerSetInputSource": (None, [READ_ROWS, _POINTER]),
    "McuformerCreateInterpreter": (
        _POINTER,
        [_POINTER, _SIZE, ctypes.POINTER(_POINTER), ctypes.POINTER(_SIZE), ctypes.c_int],
    ),
    "McuformerInterpreterError": (ctypes.c_char_p, []),
    "McuformerDestroyInterpreter": (None, [_POINTER]),
    "McuformerInvoke": (ctypes.c_bool, [_POINTER]),
    "McuformerTensorAddress": (_POINTER, [_POINTER, ctypes.c_int]),
    "McuformerRegionBytes": (_SIZE, [_POINTER, ctypes.c_int]),
    "McuformerUsedBytes": (_SIZE, [_POINTER]),
    "McuformerPrintMemoryPlan": (None, [_POINTER]),
}


def load() -> ctypes.CDLL:
    """Returns our operators, loaded behind TFLM's runtime, so that TFLM finds them by name.

    All functions have their types before any thread gets the library.

    Raises:
        RuntimeVersionError: If tflite-micro is missing or of a version that we have not
            tested, or our library is not built.
    """
    with _LOADING:
        return _load()


@functools.cache
def _load() -> ctypes.CDLL:
    try:
        version = importlib.metadata.version("tflite-micro")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if version != SUPPORTED_TFLM:
        raise RuntimeVersionError(
            f"The installed tflite-micro is {version}; our operators are tested with "
            f"{SUPPORTED_TFLM} alone, since TFLM promises no stable binary interface. Run "
            f"`pip install tflite-micro=={SUPPORTED_TFLM}`."
        )
    path = find_library()
    try:
        from tflite_micro.python.tflite_micro import _runtime
    except ImportError as error:
        raise RuntimeVersionError(
            f"tflite-micro {version} does not load ({error}). Reinstall it: "
            f"`pip install --force-reinstall tflite-micro=={SUPPORTED_TFLM}`."
        ) from error
    try:
        # Its symbols must be global for our library, whoever has imported it first and how.
        ctypes.CDLL(_runtime.__file__, mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise RuntimeVersionError(
            f"The shared library {path} does not load ({error}). Run `make setup` in the checkout, "
            "or reinstall the package with pip."
        ) from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def probe_error() -> str:
    """Returns why this thread's last registration was refused, or nothing."""
    return load().McuformerProbeError().decode()


def find_library() -> Path:
    """Returns where the shared library lies: in a checkout's build folder, or the package.

    The checkout's comes first: `make` rebuilds it when a kernel changes. The environment
    variable ``MCUFORMER_LIBRARY`` names another build, such as the one with sanitizers.

    Raises:
        RuntimeVersionError: If it is in neither.
    """
    import mcuformer_tflm.custom_ops as package

    if chosen := os.environ.get("MCUFORMER_LIBRARY"):
        return Path(chosen)
    folders = [Path(folder) for folder in package.__path__]
    checkout = Path(package.__file__).resolve().parent.parent / "build" / "lib"
    for folder in [checkout, *folders]:
        if (folder / _FILE).is_file():
            return folder / _FILE
    raise RuntimeVersionError(
        f"The shared library {_FILE} is not built. Run `make setup` in the checkout, or "
        "reinstall the package with pip."
    )
