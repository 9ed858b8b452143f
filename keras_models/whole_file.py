"""Files that are old or new at any moment, never half, and whose remains are taken away.

A file is written beside its place under a name of its own, which its writer holds a lock on, and
takes its place when all of it is on the disk. A kill leaves the part, and no lock: the next writer
to the place removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError, McuformerError

_SUFFIX = ".partial"
# File systems bear 255 bytes.
_LONGEST_NAME = 100


def write_whole(path: AnyPath, content: str | bytes) -> None:
    """Replaces a file at once: at any moment it holds the old content or the new.

    Raises:
        ConfigError: If it cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: AnyPath, error: type[McuformerError] = ConfigError) -> Iterator[BinaryIO]:
    """Opens a file that takes the place of ``path`` where the block ends without an error.

    Folders on its way are made. What is no file, such as a terminal, is written to as it is.

    Args:
        path: The place. Of a link, where it leads.
        error: What is raised where it cannot be written.

    Raises:
        McuformerError: Of the type ``error``: no room, no permission.
    """
    place = Path(os.path.realpath(checked_path("path", path)))
    with _told(path, error):
        if place.exists() and not place.is_file():
            with open(place, "wb") as device:
                yield device
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{place.name[:_LONGEST_NAME]}."
        remove_partials(place.parent, prefix)
        partial, descriptor = _create(place.parent, prefix)
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial.replace(place)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def whole_folder(path: AnyPath) -> Iterator[Path]:
    """Makes an empty folder whose files move to ``path`` where the block ends without an error.

    One by one, each replacing what is there; other files there stay.

    Raises:
        ConfigError: If something cannot be written.
    """
    place = checked_path("path", path)
    with _told(path, ConfigError):
        made = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        remove_partials(place)
        descriptor = None
        partial = place / f".{secrets.token_hex(4)}{_SUFFIX}"
        try:
            partial.mkdir()
            descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield partial
            for source in sorted(partial.rglob("*")):
                target = place / source.relative_to(partial)
                if source.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    source.replace(target)
        except BaseException:
            if made:
                shutil.rmtree(partial, ignore_errors=True)
                with contextlib.suppress(OSError):  # others have files there by now
                    place.rmdir()
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def remove_partials(folder: AnyPath, prefix: str = ".") -> None:
    """Removes what writers have left that were killed; nothing of those at work.

    Args:
        folder: Where they wrote.
        prefix: How names begin.
    """
    place = checked_path("folder", folder)
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix) and e.name.endswith(_SUFFIX)]
        for name in names:
            with contextlib.suppress(OSError):  # another may be quicker
                descriptor = os.open(place / name, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.path.isdir(place / name):
                        shutil.rmtree(place / name)
                    else:
                        os.unlink(place / name)
                finally:
                    os.close(descriptor)


def _create(folder: Path, prefix: str) -> tuple[Path, int]:
    while True:
        partial = folder / f"{prefix}{secrets.token_hex(4)}{_SUFFIX}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            # Where a file system has no locks, a part that is left stays.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return partial, descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # taken for a remain before it was locked


@contextlib.contextmanager
def _told(path: AnyPath, error: type[McuformerError]) -> Iterator[None]:
    try:
        yield
    except OSError as reason:
        raise error(
            f"{os.fspath(path)} cannot be written ({reason.strerror or reason}); give a place that "
            "can be written to, on a disk with room."
        ) from reason
