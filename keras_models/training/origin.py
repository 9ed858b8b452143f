"""What a kept state came from, told field by field, and what differs from it.

An origin is a dictionary that JSON can hold. Numbers and options stand in it as they are; arrays,
weights and files as their type, their size and a hash of their content.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.checked_values import shown
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.untrusted_files import open_file

Origin = dict[str, Any]

# Eight bytes: equal only by accident once in 10^19, and short enough for a message.
_DIGEST_SIZE = 8
_MISSING = "not said"


def digest(parts: Iterable[bytes | memoryview]) -> str:
    """Returns a hash of bytes, in hexadecimal digits."""
    content = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for part in parts:
        content.update(part)
    return content.hexdigest()


def array_origin(array: Any) -> str:
    """Returns an array's dtype, shape and a hash of its content."""
    array = np.ascontiguousarray(array)
    return f"{array.dtype}{list(array.shape)} {digest([array.reshape(-1).view(np.uint8).data])}"


def weights_origin(model: Any) -> str:
    """Returns the number of a model's weights and a hash of their shapes and values."""
    weights = model.get_weights()
    told = digest(array_origin(weight).encode() for weight in weights)
    return f"{sum(weight.size for weight in weights)} weights {told}"


def layers_origin(model: Any) -> str:
    """Returns the number of a tf_keras model's layers and a hash of their options, names apart."""

    def unnamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: unnamed(part) for key, part in value.items() if key != "name"}
        if isinstance(value, list | tuple):
            return [unnamed(part) for part in value]
        return value if isinstance(value, str | int | float | None) else type(value).__name__

    told = []
    for layer in model.layers:
        try:
            options = unnamed(layer.get_config())
        except NotImplementedError:  # a layer of the user's own
            options = None
        told.append([type(layer).__name__, options])
    return f"{len(told)} layers {digest([as_json({'layers': told}).encode()])}"


def files_origin(folder: Path, names: Sequence[str]) -> str:
    """Returns the number of files and a hash of their names and contents, whatever their dates.

    Args:
        folder: Where they lie, which is not part of the hash.
        names: Their paths in it, in an order that never changes.
    """

    def told(name: str) -> bytes:
        try:
            with open_file(folder / name, 1 << 62) as file:
                content = hashlib.file_digest(
                    file, lambda: hashlib.blake2b(digest_size=_DIGEST_SIZE)
                ).hexdigest()
        except OSError:
            content = "unreadable"
        return f"{name}\0{content}\0".encode(errors="surrogateescape")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return f"{len(names)} files {digest(pool.map(told, names))}"


def data_origin(data: Any) -> Origin:
    """Returns the origin of training data, from its own ``origin()`` where it has one.

    Of other batches, such as a ``tf.data.Dataset``, reading all would cost an epoch. What is told
    is their number and a hash of the first, or, where that is another one whenever it is asked
    for, its types and shapes.

    Args:
        data: ``Batches``.
    """
    tell = getattr(data, "origin", None)
    if tell is not None:
        return dict(tell())
    first, again = (
        [array_origin(part) for part in next(iter(data.epoch(0)), ())] for _ in range(2)
    )
    if first != again:
        first = [f"{text.rpartition(' ')[0]} shuffled" for text in first]
    return {"batches": len(data), "num_classes": data.num_classes, "first_batch": first}


def as_json(origin: Mapping[str, Any], indent: int | None = None) -> str:
    """Returns an origin as JSON; numpy's numbers become Python's.

    Raises:
        ConfigError: If it holds what JSON cannot.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise ConfigError(
            f"An origin holds a {type(value).__name__}; give numbers, text, lists and "
            "dictionaries, and array_origin(array) for an array."
        )

    return json.dumps(origin, default=plain, indent=indent)


def differences(kept: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Returns each field of ``given`` that is another one in ``kept``, and both values, in words.

    Fields of fields are named as ``recipe.learning_rate``.
    """
    if not isinstance(kept, Mapping):
        return [f"{shown(kept)} is there, which says nothing"]
    # As they come out of a file: tuples as lists, all keys as text.
    there, here = (json.loads(as_json(origin)) for origin in (kept, given))
    return list(_differences(there, here, ""))


def _differences(kept: Any, given: Any, path: str) -> Iterator[str]:
    for field, ours in given.items():
        name, theirs = f"{path}{field}", kept.get(field, _MISSING)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _differences(theirs, ours, f"{name}.")
        elif theirs != ours:
            yield f"{name} is {theirs} there and {ours} here"
