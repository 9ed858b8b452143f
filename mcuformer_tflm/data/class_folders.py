"""Folders of class folders: which folders are classes, and which files examples."""

from __future__ import annotations

import collections
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from pathlib import Path

from mcuformer_tflm.keras_models.exceptions import DataError, DataWarning

# What systems and editors leave behind; names that start with a dot are hidden besides.
_SYSTEM_NAMES = frozenset({
    "$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db",
    "lost+found", "system volume information", "thumbs.db",
})  # fmt: skip
_PART_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def find_classes(folder: Path) -> list[str]:
    """Returns the names of the class folders in a folder, in order, without hidden ones.

    Raises:
        DataError: If there is no such folder, or its folders are the parts of a data set.
    """
    parts = data_parts(folder)
    if parts:
        names = _listed(path.name for path in parts.values())
        raise DataError(
            f"{folder} holds {names}: the parts of a data set, and no classes. Give one of them, "
            f"such as {parts.get('train', next(iter(parts.values())))}."
        )
    return [path.name for path in _folders(folder)]


def data_parts(folder: Path) -> dict[str, Path]:
    """Returns the parts of a data set that a folder holds, where it holds no classes.

    Returns:
        Folders by ``"train"``, ``"validation"`` and ``"test"``; nothing where there are others
        beside a single folder of such a name, which is a class then.

    Raises:
        DataError: If there is no such folder, or two are the same part.
    """
    folders = _folders(folder)
    named = [path for path in folders if path.name.casefold() in _PART_NAMES]
    kinds = [_PART_NAMES[path.name.casefold()] for path in named]
    if len(named) < len(folders) and ("train" not in kinds or len(set(kinds)) == 1):
        return {}
    if len(set(kinds)) < len(kinds):
        raise DataError(
            f"{folder} holds {' and '.join(path.name for path in named)}, some of which are the "
            "same part of a data set; keep one of each."
        )
    return dict(zip(kinds, named, strict=True))


def class_files(
    folder: Path, names: Collection[str], *, suffixes: Collection[str]
) -> dict[str, list[Path]]:
    """Returns the files of class folders by class, in the order of their paths.

    Folders in them are read too, hidden files are not. What else is passed over is counted in a
    ``DataWarning``: files of other suffixes, and files beside the class folders.

    Args:
        folder: Holds the class folders.
        names: Theirs.
        suffixes: In small letters; those of files may be in any.

    Raises:
        DataError: If a class is divided into parts of its own.
    """
    files = {}
    others: collections.Counter[str] = collections.Counter()
    for name in names:
        parts = data_parts(folder / name)
        if len(parts) > 1:
            raise DataError(
                f"{folder / name} holds {_listed(path.name for path in parts.values())}, the parts "
                f"of a data set; lay them out as {folder}/train/{name}."
            )
        found = sorted(_visible_files(folder / name))
        files[name] = [path for path in found if path.suffix.lower() in suffixes]
        others.update(path.suffix for path in found if path.suffix.lower() not in suffixes)
    if others:
        told = _listed(f"{number} {suffix or 'of none'}" for suffix, number in others.most_common())
        _warn(
            f"Of the files in the class folders of {folder}, {others.total()} are passed over for "
            f"their suffix: {told}. Read are {_listed(sorted(suffixes))}."
        )
    beside = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and _is_visible(p)]
    if beside:
        _warn(
            f"{len(beside)} files are passed over, since they lie in {folder} itself and so in no "
            f"class: {_listed(sorted(path.name for path in beside))}."
        )
    return files


def visible_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Returns the files in a folder, and in folders in it, without hidden ones and others."""
    return sorted(path for path in _visible_files(folder) if path.suffix.lower() in suffixes)


def warn_of_empty_classes(what: str, labels: Sequence[str], classes: Set[int]) -> None:
    """Warns by name of classes that have no example.

    Args:
        what: The part of a data set that is told of.
        labels: Class names by index.
        classes: Those that have examples.
    """
    empty = [label for index, label in enumerate(labels) if index not in classes]
    if empty:
        _warn(f"{what} holds no example of {_listed(empty)}.")


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name one that holds a folder for each class.")
    # Not iterdir, which asks for the kind of each of a class's many files.
    names = next(os.walk(folder))[1]
    return sorted(folder / name for name in names if _is_visible(Path(name)))


def _listed(names: Iterable[str], limit: int = 10) -> str:
    names = list(names)
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _warn(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=1)


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.casefold() not in _SYSTEM_NAMES


def _visible_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _is_visible(Path(name))]
        yield from (Path(root, name) for name in names if _is_visible(Path(name)))
