"""What a command writes: refused before the work if it cannot be, and told by its own name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.task.terminal import results

# In the place of a file's name.
STANDARD_OUTPUT = Path("-")


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


class Figures:
    """What a command tells people, and what it tells machines by ``--json``.

    Args:
        json_file: Where figures go besides; ``-`` is standard output, and what people read then
            goes to standard error. None for nowhere.

    Attributes:
        console: For people.

    Raises:
        ConfigError: If it is a folder, or the file's folder cannot be written to.
        OSError: If that cannot be made.
    """

    def __init__(self, json_file: Path | None) -> None:
        """Refuses a place that cannot be written before the work."""
        self._file = json_file
        self._to_output = json_file == STANDARD_OUTPUT
        self.console: Console = results(aside=self._to_output)
        if json_file is not None and json_file.is_dir():
            raise ConfigError(f"--json is {json_file}, a folder; give a file's name.")
        if json_file is not None and not self._to_output:
            check_writable(json_file.parent)

    def tell(self, figures: Any) -> None:
        """Writes figures as JSON, where that was asked for.

        Raises:
            ConfigError: If the file cannot be written.
        """
        if self._file is None:
            return
        text = json.dumps(figures, indent=1) + "\n"
        if self._to_output:
            print(text, end="")
            return
        from mcuformer_tflm.keras_models.whole_file import write_whole

        write_whole(self._file, text)
        self.console.print(f"Written to {self._file}", soft_wrap=True)
