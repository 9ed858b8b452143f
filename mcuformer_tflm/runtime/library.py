"""The shared library with our operators, loaded beside TFLM's own."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
from pathlib import Path

from mcuformer_tflm.keras_models.exceptions import RuntimeVersionError

REGISTERER = "McuformerRegisterOps"
SUPPORTED_TFLM = "0.dev20261023182759"
_FILE = "libmcuformer_ops.so"


@functools.cache
def load() -> ctypes.CDLL:
    """Loads TFLM's runtime and then our operators, so that TFLM finds them by name.

    Raises:
        RuntimeVersionError: If tflite-micro is missing or of a version that we have not
            tested, or our library is not built.
    """
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
    # Its symbols must be global for our library, whoever has imported it first and how.
    ctypes.CDLL(_runtime.__file__, mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.McuformerProbeError.restype = ctypes.c_char_p
    return library


def probe_error() -> str:
    """Returns why the last registration was refused, or nothing."""
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
