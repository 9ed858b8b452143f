"""Named tensors from files of other programs: safetensors and npz, never pickles."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import ml_dtypes  # which also tells NumPy of bfloat16
import numpy as np
from safetensors.numpy import load_file

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.untrusted_files import MOST_TENSOR_BYTES, open_file

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


def read_tensors(path: AnyPath) -> dict[str, np.ndarray]:
    """Reads all tensors of a file, whatever it is called: its content decides.

    Args:
        path: A file of safetensors, or an ``.npz`` file of arrays.

    Returns:
        float32 arrays by name, each of at least one value; all values are numbers.

    Raises:
        CheckpointError: If there is no such file, it is damaged, a pickle or of another kind, or
            holds other values.
        ConfigError: If it is no path.
    """
    path = checked_path("path", path)
    try:
        with open_file(path, 1 << 62) as file:
            start = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    if start[:4] in _ZIP:
        read = _read_npz
    elif start[8:] == b"{":  # behind the length of the header
        read = _read_safetensors
    else:
        kind = "a pickle" if start[:1] == b"\x80" else "neither a safetensors nor an npz file"
        raise _refused(path, kind)
    try:
        arrays = read(path, size)
    except CheckpointError:
        raise
    # NumPy, zipfile and safetensors raise whatever a damaged file leads them to.
    except Exception as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {str(error)[:200]}); fetch it again."
        ) from error
    return {name: _checked(path, name, array) for name, array in arrays.items()}


def _read_safetensors(path: Path, size: int) -> dict[str, np.ndarray]:
    _check_size(path, size)
    return load_file(path)


def _read_npz(path: Path, size: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith(".pkl") for name in archive.namelist()):
            raise _refused(path, "a zip file of a pickle, as PyTorch saves it")
        _check_size(path, sum(member.file_size for member in archive.infolist()))
    try:
        with np.load(path, allow_pickle=False) as saved:
            return dict(saved)
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise _refused(path, "an npz file of Python objects, which are a pickle") from error
        raise


def _check_size(path: Path, size: int) -> None:
    if size > MOST_TENSOR_BYTES:
        raise CheckpointError(
            f"{path} holds {size:,} bytes of tensors; no network that fits here has more than "
            f"{MOST_TENSOR_BYTES:,}."
        )


def _refused(path: Path, kind: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is {kind}. Pickles may run any program when they are read, and are not read here; "
        "give a safetensors file, which two lines make of a checkpoint where PyTorch is "
        f"installed: state = torch.load({str(path)!r}, map_location='cpu', weights_only=True); "
        "safetensors.torch.save_file(state.get('model', state), 'vit.safetensors')"
    )


def _checked(path: Path, name: str, array: object) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise CheckpointError(f"{path} holds {name}, which is no array.")
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != ml_dtypes.bfloat16:
        raise CheckpointError(
            f"{name} of {path} is {array.dtype}; weights must be floats. Quantized ones cannot be "
            "taken: give the checkpoint that they were made of."
        )
    if not array.size:
        raise CheckpointError(f"{name} of {path} is of shape {array.shape}: it holds no value.")
    with np.errstate(over="ignore"):  # told just below
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise CheckpointError(
            f"{name} of {path} holds values that are no numbers in 32 bits; the checkpoint is of "
            "a training that diverged, or damaged."
        )
    return array
