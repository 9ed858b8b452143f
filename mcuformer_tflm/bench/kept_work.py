"""Units of work that are done once and kept on disk, by several processes at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.training.checkpoint import read_arrays, write_arrays
from mcuformer_tflm.keras_models.whole_file import write_whole

Result = TypeVar("Result")

_POLL_SECONDS = 0.5


class OutOfTimeError(Exception):
    """There is no time for more; what is done is kept."""


class HeldByOthersError(Exception):
    """Another process is at a unit of the work."""


class KeptWork:
    """A folder of results, each under a key that says all that it follows from.

    A file is whole at any moment. Where another process is at a unit, HeldByOthersError is raised,
    so that this one turns to other work.

    Args:
        directory: The folder.
        deadline: By ``time.monotonic``, after which nothing is begun.
    """

    def __init__(self, directory: AnyPath, deadline: float) -> None:
        """Makes no folder yet."""
        self.directory, self.deadline = checked_path("directory", directory), deadline

    def check_time(self) -> None:
        """Raises OutOfTimeError after the deadline."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError

    def path(self, kind: str, name: str, key: Mapping[str, Any], suffix: str) -> Path:
        """Returns the file of a unit.

        Args:
            kind: Its folder.
            name: For readers; the key alone tells units apart.
            key: What the result follows from, as JSON.
            suffix: Of the file.
        """
        return self.directory / kind / f"{name}-{digest(key)}{suffix}"

    def value(self, kind: str, name: str, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """Returns a result that JSON can hold, from disk if it is there."""
        path = self.path(kind, name, key, ".json")
        return json.loads(
            self._once(path, lambda: _write_json(path, key, make())).read_text(encoding="utf-8")
        )["value"]

    def known(self, kind: str, name: str, key: Mapping[str, Any]) -> Any:
        """Returns a result if it is there, else None."""
        path = self.path(kind, name, key, ".json")
        return json.loads(path.read_text(encoding="utf-8"))["value"] if path.exists() else None

    def arrays(
        self,
        kind: str,
        name: str,
        key: Mapping[str, Any],
        make: Callable[[Path], Mapping[str, list[np.ndarray]]],
    ) -> Path:
        """Returns the file of a result that is named lists of arrays (``read_lists``).

        Args:
            kind: Its folder.
            name: For readers.
            key: What the result follows from, as JSON.
            make: Is given a file for what it keeps while it is under way.
        """  # fmt: skip
        path = self.path(kind, name, key, ".npz")
        partial = path.with_suffix(".under-way.npz")

        def write() -> None:
            _write_lists(path, make(partial))
            partial.unlink(missing_ok=True)

        return self._once(path, write)

    def wait_for(self, work: Callable[[], Result]) -> Result:
        """Returns what work returns; begins it again as long as others are at a unit of it."""
        while True:
            try:
                return work()
            except HeldByOthersError:
                self.check_time()
                time.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Yields whether this process is the only one at something; others are told False."""
        with _lock(self.directory / "locks" / name) as file:
            yield _taken(file)

    def _once(self, path: Path, write: Callable[[], None]) -> Path:
        if path.exists():
            return path
        self.check_time()
        with _lock(self.directory / "locks" / path.name) as file:
            if not _taken(file):
                raise HeldByOthersError
            if not path.exists():
                write()
        return path


def digest(key: Mapping[str, Any]) -> str:
    """Returns a short name of a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def read_lists(path: Path) -> dict[str, list[np.ndarray]]:
    """Reads what ``KeptWork.arrays`` has kept."""
    found: dict[str, list[np.ndarray]] = {}
    for name, array in read_arrays(path).items():
        if "/" in name:
            found.setdefault(name.rpartition("/")[0], []).append(array)
    return found


def _write_lists(path: Path, lists: Mapping[str, list[np.ndarray]]) -> None:
    arrays = {f"{name}/{i}": a for name, found in lists.items() for i, a in enumerate(found)}
    write_arrays(path, {"epochs": np.asarray(0), **arrays})


def _write_json(path: Path, key: Mapping[str, Any], value: Any) -> None:
    write_whole(path, json.dumps({"key": key, "value": value}, indent=1))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        yield file


def _taken(file: Any) -> bool:
    # It goes with the process, however that ends.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
