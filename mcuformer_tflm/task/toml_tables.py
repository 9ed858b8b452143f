"""What run files have in common: how they are read, and what stands in their tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.untrusted_files import read_toml

Run = TypeVar("Run")

_NOTHING = "none"  # TOML has no null


def run_of_file(
    make: Callable[[dict[str, Any]], Run], path: AnyPath, given: Mapping[str, Any]
) -> Run:
    """Returns the run of a run file.

    Args:
        make: Makes it of its fields, tables as dictionaries.
        path: The file.
        given: Fields that count instead of the file's, where they are not None.

    Raises:
        ConfigError: If the file is missing or no TOML, or a field is wrong; names the file.
    """
    path = checked_path("path", path)
    try:
        fields = read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no run file that can be read: {error}.") from error
    try:
        return make({**fields, **those_given(given)})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def those_given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def table_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields as a table, in which ``"none"`` stands for None."""
    return {name: _NOTHING if value is None else value for name, value in fields.items()}


def fields_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of ``table_of``."""
    return {name: None if value == _NOTHING else value for name, value in table.items()}


def recipe_of(table: Mapping[str, Any]) -> TrainingRecipe:
    """Returns the recipe of a table.

    Raises:
        ConfigError: If a field is unknown or out of range.
    """
    return TrainingRecipe(**fields_of(known_fields(TrainingRecipe, table)))


def known_fields(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields of which a dataclass has each.

    Raises:
        ConfigError: If it has one not.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    for name in fields:
        if name not in names:
            raise ConfigError(f"{name} is no field; known are {', '.join(names)}.")
    return dict(fields)
