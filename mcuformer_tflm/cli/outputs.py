"""What a command writes: refused before the work if it cannot be, and told by its own name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcuformer_tflm.keras_models.exceptions import ConfigError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's errors inside into one that names the path.

    The system's own may name a file beside it, or none.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from error


def check_writable(folder: Path) -> None:
    """Makes a folder, and tells before hours of work, not after, that it takes no files.

    Raises:
        ConfigError: It cannot be written to.
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be written to; give another folder.")


def check_picture(path: Path | None) -> None:
    """Refuses a picture whose format cannot be drawn.

    Raises:
        ConfigError: Its name ends otherwise than in .png or .svg.
    """
    if path is not None and path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--picture is {path}; the name must end in .png or .svg.")
