"""Files that may be anybody's: how large they may be, and how they are opened.

All limits stand here. What no limit is needed for: nesting of JSON ends at Python's own limit
(``RecursionError``), which its readers turn into an error of theirs.
"""

from __future__ import annotations

import datetime
import errno
import os
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Collection
from io import BufferedReader
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.checked_values import shown

# A .tflite. TFLM counts bytes in 32 bits with a sign, and so does a flatbuffer.
MOST_MODEL_BYTES = 2**31 - 16
# How often a model may name the bytes that it has: writers share some vectors, and a file that
# names each twice unpacks to twice its size.
MOST_TIMES_NAMED = 4
# Texts that a model carries in its zip archive, unpacked.
MOST_LABEL_BYTES = 1 << 24
# Of a model: a hundred blocks of twenty. What is planned and drawn takes longer than in proportion.
MOST_OPERATORS = 2048
MOST_TENSORS = 1 << 15
# Characters of a tensor's name, which goes into tables, pictures and C++.
LONGEST_NAME = 1000
# TOML, JSON, lists of files and logs.
MOST_TEXT_BYTES = 1 << 28
# Of TOML's tables and lists: keys with dots nest them without end.
MOST_NESTED = 100
# Of TOML's whole numbers, as its specification says.
TOML_BITS = 64
# As it lies on disk; Pillow refuses what has too many pixels.
MOST_PICTURE_BYTES = 1 << 30
# Two hours of sound.
MOST_SOUND_BYTES = 1 << 28
# Unpacked: six times Fashion-MNIST's training images.
MOST_IDX_BYTES = 1 << 28
# Of tensors from other programs. The widest network that the operators take, ViT-L, has 1.2 GB.
MOST_TENSOR_BYTES = 2**32
# Arrays may unpack to so much whatever their file's size, and beyond that to so many times as much.
_FREE_ARRAY_BYTES = 1 << 30
_MOST_TIMES_PACKED = 16
# What reading a damaged file's JSON, and making values of it, may end in.
DAMAGED: tuple[type[Exception], ...] = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
_NESTED = "its values are nested too deeply"
# Until TFLM must have opened and run a model in a process of its own.
PROBE_SECONDS = 300


def open_file(path: str | os.PathLike[str], most: int) -> BufferedReader:
    """Opens a file to read, unless it is none: a pipe would never end, or never begin.

    Args:
        path: Of the file.
        most: Bytes that it may have.

    Raises:
        OSError: If it cannot be read, is no regular file, or is larger; with ``strerror``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    found = os.fstat(descriptor)
    problem = None
    if stat.S_ISDIR(found.st_mode):
        problem = (errno.EISDIR, os.strerror(errno.EISDIR))
    elif not stat.S_ISREG(found.st_mode):
        problem = (errno.EINVAL, "it is no file but a device, a pipe or a socket")
    elif found.st_size > most:
        problem = (errno.EFBIG, f"it has {found.st_size:,} bytes; {most:,} are allowed")
    if problem is not None:
        os.close(descriptor)
        raise OSError(*problem, os.fspath(path))
    return open(descriptor, "rb")


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Returns a file's bytes; as ``open_file``."""
    with open_file(path, most) as file:
        return file.read()


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns a TOML file's table: text, truth values and numbers, in tables and lists.

    Raises:
        OSError: As ``read_text``.
        ValueError: If it is no TOML, or holds a date, a number of more than 64 bits, or tables
            within tables without end.
    """
    try:
        table = tomllib.loads(read_text(path))
    except RecursionError:
        raise ValueError(_NESTED) from None
    left: list[tuple[str, Any, int]] = [("", table, 0)]
    while left:
        name, value, depth = left.pop()
        if isinstance(value, dict | list):
            if depth == MOST_NESTED:
                raise ValueError(_NESTED)
            inner = value.items() if isinstance(value, dict) else [(name, x) for x in value]
            left += [(key, entry, depth + 1) for key, entry in inner]
        elif isinstance(value, datetime.date | datetime.time):
            raise ValueError(f"{shown(name)} is the date or time {value}, which no field takes")
        elif isinstance(value, int) and not -(1 << TOML_BITS - 1) <= value < 1 << TOML_BITS - 1:
            raise ValueError(
                f"{shown(name)} is {shown(value)}; a whole number of TOML has {TOML_BITS} bits"
            )
    return table


def gunzip(content: bytes, most: int) -> bytes:
    """Returns what a gzip file of one or more members holds.

    Raises:
        ValueError: If it is damaged, cut short, or unpacks to more than ``most`` bytes.
    """
    unpacked = bytearray()
    while content:
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked += stream.decompress(content, most + 1 - len(unpacked))
        except zlib.error as error:
            raise ValueError(f"it is no intact gzip file: {error}") from error
        if len(unpacked) > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        if not stream.eof:
            raise ValueError("it is cut short")
        content = stream.unused_data.lstrip(b"\0")  # what archivers pad with
    return bytes(unpacked)


def read_npz(path: str | os.PathLike[str], only: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Reads the arrays of an ``.npz`` file, never pickles.

    Args:
        path: Of the file.
        only: Names to read; all where there are none.

    Raises:
        OSError: If it cannot be read, or is no regular file.
        ValueError: If it is damaged, encrypted, holds Python objects, or unpacks to far more than
            it has.
    """
    with open_file(path, 1 << 62) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > max(_FREE_ARRAY_BYTES, _MOST_TIMES_PACKED * size):
                raise ValueError(f"{size:,} bytes unpack to {unpacked:,}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as saved:
                names = [name for name in saved.files if not only or name in only]
                arrays = {name: saved[name] for name in names}
        except (OSError, ValueError):
            raise
        # NumPy and zipfile raise whatever a damaged file leads them to: of a password a
        # RuntimeError, of a header whatever Python's parser says, of a size a MemoryError.
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {str(error)[:200]}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"its member {name[:80]!r} is no array")
    return arrays


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    """Returns a text file's content.

    Raises:
        OSError: If it cannot be read, is no regular file, or too large for a text.
        UnicodeDecodeError: If it is no text of that encoding.
    """
    text = read_file(path, MOST_TEXT_BYTES).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")
