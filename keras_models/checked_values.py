"""Values that enter, numbers as Python's own; what is none is refused by its field's name."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ConfigError

# A path as users give it.
AnyPath = str | os.PathLike[str]

# The greatest whole number of 64 bits: floats, files and messages take what is below.
_MOST_WHOLE = 2**63 - 1
_SHOWN = 80
_Kind = TypeVar("_Kind")
_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": (int, float), "tuple": tuple, "Mapping": Mapping,
    "None": type(None),
}  # fmt: skip


def checked_whole(field: str, value: Any, *, least: int = 1, most: float = math.inf) -> int:
    """Returns a whole number as an int, whichever type of integers it has.

    Raises:
        ConfigError: If it is none, a bool among them, or outside the limits.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ConfigError(
            f"{field} is {shown(value)}; it must be a whole number of at least {least}."
        )
    number = int(value)
    if number < least:
        raise ConfigError(f"{field} is {shown(value)}; it must be at least {least}.")
    if number > (most := min(most, _MOST_WHOLE)):
        raise ConfigError(f"{field} is {shown(value)}; it must be at most {most:,}.")
    return number


def checked_seed(value: Any) -> int:
    """Returns a seed as an int that NumPy, TensorFlow and Python's own generator all take.

    Raises:
        ConfigError: If it is no whole number of 32 bits.
    """
    return checked_whole("seed", value, least=0, most=2**32 - 1)


def checked_real(
    field: str,
    value: Any,
    *,
    low: float = 0.0,
    high: float = math.inf,
    open_below: bool = False,
    open_above: bool = False,
) -> float:
    """Returns a number as a float, whichever type of numbers it has.

    A float of fewer than 64 bits is taken for the decimal that it prints: ``np.float32(0.9)``
    for 0.9.

    Raises:
        ConfigError: If it is none, a bool among them, or outside the interval.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(str(value) if isinstance(value, np.floating) else value)
        except OverflowError:
            number = math.inf
        above = number > low if open_below else number >= low
        below = number < high if open_above else number <= high
        if above and below:  # also false for NaN
            return number
    interval = f"{'(' if open_below else '['}{low:g}, {high:g}{')' if open_above else ']'}"
    raise ConfigError(f"{field} is {shown(value)}; it must be a number in {interval}.")


def checked_bool(field: str, value: Any) -> bool:
    """Returns a truth value as a bool.

    Raises:
        ConfigError: If it is none: 0 and 1 are numbers.
    """
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{field} is {shown(value)}; it must be true or false.")
    return bool(value)


def checked_choice(field: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Returns the one of some names or numbers that a value is.

    Raises:
        ConfigError: If it is none; True is no 1.
    """
    # np.bool_, np.int64 and np.str_ hold Python's own; an array or None is equal to no choice.
    own = value.item() if isinstance(value, np.generic) else value
    for choice in allowed:
        if type(own) is type(choice) and own == choice:
            return choice
    if isinstance(allowed, range):
        choices = f"{allowed[0]} to {allowed[-1]}"
    else:
        choices = " and ".join(
            filter(None, (", ".join(map(repr, allowed[:-1])), repr(allowed[-1])))
        )
    raise ConfigError(f"{field} is {shown(value)}; allowed are {choices}.")


def checked_type(field: str, value: Any, kind: type[_Kind]) -> _Kind:
    """Returns a value of the type that an argument must have.

    Raises:
        ConfigError: If it has another.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{field} is {shown(value)}; it must be of the type {kind.__name__}.")
    return value


def checked_kinds(record: _Kind) -> _Kind:
    """Returns a dataclass's instance of whose fields each is of a type that it declares.

    For what comes out of a file; entries of mappings and tuples are not looked at.

    Args:
        record: Of a module with ``from __future__ import annotations``; its types are those of
            ``_KINDS``.

    Raises:
        ConfigError: If a field is of another; no truth value is a number.
    """
    assert dataclasses.is_dataclass(record)
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        kinds = [kind.split("[")[0] for kind in str(field.type).split(" | ")]
        if isinstance(value, bool) or not any(isinstance(value, _KINDS[kind]) for kind in kinds):
            raise ConfigError(f"{field.name} is {shown(value)}; it must be {field.type}.")
        if isinstance(value, int) and abs(value) > _MOST_WHOLE:
            raise ConfigError(f"{field.name} is {shown(value)}; it must have at most 64 bits.")
    return record


def checked_function(field: str, value: Any) -> Any:
    """Returns what can be called.

    Raises:
        ConfigError: If it cannot.
    """
    if not callable(value):
        raise ConfigError(f"{field} is {shown(value)}; it must be a function.")
    return value


def checked_path(field: str, value: AnyPath) -> Path:
    """Returns a path as pathlib's.

    Raises:
        ConfigError: If it is none: empty, bytes, or no path at all.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError(f"{field} is {shown(value)}; it must be a path: a str or a pathlib.Path.")
    return Path(text)


def entries(value: Any) -> tuple[Any, ...] | None:
    """Returns the entries of a tuple, list, range or array of one axis; None of all else."""
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return None
    return tuple(value) if isinstance(value, tuple | list | range | np.ndarray) else None


def shown(value: Any) -> str:
    """Returns a value as messages show it, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits.
        if not isinstance(value, int):
            return f"a {type(value).__name__} with a number of thousands of digits"
        text = f"a number of {value.bit_length():,} bits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
