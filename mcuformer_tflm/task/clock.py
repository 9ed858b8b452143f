"""The time that a run has taken, over all its interruptions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mcuformer_tflm.keras_models.checked_values import checked_real
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED, read_text
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.progress import Report as Progress

_KEPT_EVERY = 5.0
_Kept = TypeVar("_Kept")


def read_kept(path: Path, read: Callable[[Any], _Kept]) -> _Kept:
    """Returns what an unfinished run keeps in a file of its folder.

    Args:
        path: The file.
        read: Makes it of the file's JSON.

    Raises:
        ConfigError: If the file is damaged.
    """
    try:
        return read(json.loads(read_text(path)))
    except DAMAGED as error:
        raise ConfigError(
            f"{path} is damaged ({error or type(error).__name__}); remove {path.parent} to start "
            "that run anew."
        ) from error


def _seconds(fields: dict[str, Any]) -> float:
    return checked_real("seconds", fields["seconds"], open_above=True)


class Clock:
    """Counts the seconds of a run, those before it was killed too, but for the last few.

    Args:
        path: File that keeps them.
    """

    def __init__(self, path: Path) -> None:
        """Goes on from what is kept."""
        self._path = path
        self._start = time.monotonic()
        self._before = read_kept(path, _seconds) if path.exists() else 0.0
        self._kept = self._start

    def seconds(self) -> float:
        """Returns the seconds so far."""
        return self._before + time.monotonic() - self._start

    def heard_by(self, progress: Progress) -> Progress:
        """Returns a function that reports progress, and keeps the time on the way."""

        def report(label: str, done: int, total: int, info: str = "") -> None:
            progress(label, done, total, info)
            now = time.monotonic()
            if now - self._kept > _KEPT_EVERY:
                self._kept = now
                write_whole(self._path, json.dumps({"seconds": self.seconds()}))

        return report
