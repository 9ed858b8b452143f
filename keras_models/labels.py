"""Names of classes, one a line wherever they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from mcuformer_tflm.keras_models.exceptions import ConfigError


def class_names(labels: Sequence[str | bytes], num_classes: int | None = None) -> tuple[str, ...]:
    """Returns class names as they are written to files: checked, and without their line's end.

    Args:
        labels: Class names by index, such as the lines of a text file; bytes are UTF-8.
        num_classes: How many there must be, where that is known.

    Raises:
        ConfigError: If they are no names, one is empty, occurs twice, or would be read back as
            several lines, or their number is wrong.
    """
    # Neither a set nor a mapping says which class a name belongs to.
    if isinstance(labels, (str, bytes, Set, Mapping)) or not isinstance(labels, Iterable):
        raise ConfigError(f"labels is {labels!r}; give a list of class names, one for each class.")
    names = tuple(_name(index, label) for index, label in enumerate(labels))
    if num_classes is not None and len(names) != num_classes:
        raise ConfigError(
            f"labels has {len(names)} entries; the network has {num_classes} classes, so give a "
            "name for each, or a network whose head is built for as many (num_classes)."
        )
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            raise ConfigError(
                f"labels[{index}] is {name!r}, as labels[{first[name]}] is; every class needs a "
                "name of its own."
            )
        first[name] = index
    return names


def _name(index: int, label: Any) -> str:
    place = f"labels[{index}]"
    if not isinstance(label, (str, bytes)):
        raise ConfigError(f"{place} is {label!r}, a {type(label).__name__}; it must be a str.")
    try:
        name = label.decode("utf-8") if isinstance(label, bytes) else str(label)
        name.encode("utf-8")
    except UnicodeError as error:
        raise ConfigError(f"{place} is {label!r}, which is not UTF-8 ({error}).") from error
    # What `open(path).readlines()` leaves at the end.
    name = name.rstrip("\r\n")
    if not name.strip():
        raise ConfigError(f"{place} is {label!r}; a class name must not be empty.")
    # Readers differ in what ends a line; Python's own reader knows all of it.
    if name.splitlines() != [name]:
        raise ConfigError(f"{place} is {label!r}, which is several lines; a name must be one.")
    return name
