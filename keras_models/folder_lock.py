"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError

_LOCK_FILE = ".lock"
_TOLD = 300


@contextlib.contextmanager
def locked(folder: AnyPath) -> Iterator[None]:
    """Keeps others from working in a folder meanwhile, threads of this process too.

    The system holds the lock, and lets go of it where the process ends, however it ends: the file
    that a kill leaves is no lock. Where the file system has none, nobody is kept out.

    Raises:
        ConfigError: If another works there, named by its process; or it cannot be written to.
    """
    place = checked_path("folder", folder)
    file = place / _LOCK_FILE
    try:
        place.mkdir(parents=True, exist_ok=True)
        descriptor, holder = _lock(file)
    except OSError as error:
        raise ConfigError(
            f"{place} cannot be written to ({error.strerror}); give another folder."
        ) from error
    if holder is not None:
        os.close(descriptor)
        raise ConfigError(
            f"{place} is in use by {holder}. Wait until it has ended, end it, or give another "
            "folder."
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file)
        os.close(descriptor)


def _lock(file: Path) -> tuple[int, str | None]:
    """Returns the open file, and who holds its lock, unless that is this call."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(descriptor, _TOLD, 0).decode(errors="replace").strip()
            return descriptor, told or "another process"
        except OSError:
            return descriptor, None
        # Whoever had it may have removed the file between the two calls.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                with contextlib.suppress(OSError):  # no room: it is locked all the same
                    os.ftruncate(descriptor, 0)
                    told = f"process {os.getpid()} on {socket.gethostname()}"
                    os.pwrite(descriptor, told.encode(), 0)
                return descriptor, None
        os.close(descriptor)
