"""Tables of TOML files that tell trainings, read field by field."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcuformer_tflm.keras_models.checked_values import checked_whole, shown
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.untrusted_files import read_toml

if TYPE_CHECKING:
    import numpy as np

    from mcuformer_tflm.data.image_data import ImageData

_TRAINING_FIELDS = tuple(field.name for field in dataclasses.fields(TrainingRecipe))


@dataclasses.dataclass(frozen=True)
class Training:
    """One stretch of training.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        recipe: How.
        held_out: How many of the last training images it never sees.
    """

    epochs: int
    batch_size: int
    recipe: TrainingRecipe
    held_out: int = 0

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If a field is out of range.
        """
        for field in ("epochs", "batch_size"):
            checked_whole(field, getattr(self, field))
        checked_whole("held_out", self.held_out, least=0)

    def shown(self, data: ImageData) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images and classes that it sees.

        Raises:
            DataError: If ``held_out`` leaves none.
        """
        count = len(data.train_images) - self.held_out
        if count < 1:
            raise DataError(
                f"{data.name} has {len(data.train_images):,} training images, and held_out is "
                f"{self.held_out:,}; give it fewer."
            )
        return data.train_images[:count], data.train_classes[:count]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields in JSON's values, ``held_out`` only where images are."""
        fields = dataclasses.asdict(self)
        if not self.held_out:
            del fields["held_out"]
        return fields


def read_tables(path: Path) -> dict[str, Any]:
    """Returns the tables of a TOML file.

    Raises:
        ConfigError: If the file is missing or no TOML.
    """
    try:
        return read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no recipe that can be read: {error}.") from error


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Names the file in front of what is wrong with it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def taken(table: dict[str, Any], field: str, kind: type) -> Any:
    """Returns a field of a table, and takes it out.

    Raises:
        ConfigError: If it is missing, or of another kind.
    """
    if field not in table:
        raise ConfigError(f"{field} is missing; it must be given as a {kind.__name__}.")
    value = table.pop(field)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{field} is {shown(value)}; it must be a {kind.__name__}.")
    return value


def refuse_rest(table: str, rest: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuses fields that are left over once all known ones were taken.

    Raises:
        ConfigError: If there are any.
    """
    for field in rest:
        allowed = f"; known are {', '.join(known)}" if known else ""
        raise ConfigError(f"{table}{field} is no field of a recipe{allowed}.")


def check_name(name: str) -> None:
    """Checks that files can be named after what a recipe makes.

    Raises:
        ConfigError: If they cannot.
    """
    if not name.isidentifier():
        raise ConfigError(
            f"name is {name!r}; it must be letters, digits and underscores, since files are named "
            "after it."
        )


def training_of(name: str, table: dict[str, Any]) -> Training:
    """Returns the stretch of training that a table of this name tells.

    Raises:
        ConfigError: If a field is missing, unknown or out of range.
    """
    epochs, batch_size = (taken(table, field, int) for field in ("epochs", "batch_size"))
    held_out = taken(table, "held_out", int) if "held_out" in table else 0
    unknown = {key: table[key] for key in table if key not in _TRAINING_FIELDS}
    refuse_rest(f"{name}.", unknown, ("epochs", "batch_size", "held_out", *_TRAINING_FIELDS))
    return Training(epochs, batch_size, TrainingRecipe(**table), held_out)


def fingerprint_of(values: Any) -> str:
    """Returns twelve hexadecimal digits that change with values that JSON has."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
