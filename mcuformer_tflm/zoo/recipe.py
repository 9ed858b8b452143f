"""How a model of the zoo is made, read from a TOML file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe

_TRAINING_FIELDS = tuple(field.name for field in dataclasses.fields(TrainingRecipe))


@dataclasses.dataclass(frozen=True)
class Training:
    """One stretch of training.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        recipe: How.
    """

    epochs: int
    batch_size: int
    recipe: TrainingRecipe

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: If a field is out of range.
        """
        for field in ("epochs", "batch_size"):
            if not isinstance(getattr(self, field), int) or getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}; it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class ZooRecipe:
    """Everything that decides what a model becomes; the same recipe gives the same model.

    Attributes:
        name: The model's name, and that of its files.
        data: The data set's name (``datasets.load``).
        seed: Of all random choices.
        arena_kib: What the model's arena may take on a Cortex-M, in KiB.
        architecture: The network.
        teacher_width: Channels of the teacher's first stage.
        teacher: Training of the convolutional teacher.
        float_training: Training of the network in float, following the teacher.
        quantized_training: Training with TF-MOT's rounding, following the teacher.
    """

    name: str
    data: str
    seed: int
    arena_kib: int
    architecture: Architecture
    teacher_width: int
    teacher: Training
    float_training: Training
    quantized_training: Training

    @classmethod
    def read(cls, path: AnyPath) -> ZooRecipe:
        """Reads a recipe.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is missing, unknown or out
                of range.
        """
        content = read_tables(path)
        try:
            return cls._from_tables(content)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def _from_tables(cls, content: dict[str, Any]) -> ZooRecipe:
        tables = {
            name: dict(_taken(content, name, dict))
            for name in ("architecture", "teacher", "float", "quantized")
        }
        fields = {name: _taken(content, name, str) for name in ("name", "data")}
        numbers = {name: _taken(content, name, int) for name in ("seed", "arena_kib")}
        width = _taken(tables["teacher"], "width", int)
        _refuse_rest("", content)
        return cls(
            **fields,
            **numbers,
            architecture=_architecture(tables["architecture"]),
            teacher_width=width,
            teacher=_training("teacher", tables["teacher"]),
            float_training=_training("float", tables["float"]),
            quantized_training=_training("quantized", tables["quantized"]),
        )

    def __post_init__(self) -> None:
        """Checks the fields that no other class checks.

        Raises:
            ConfigError: If a field is out of range.
        """
        check_name(self.name)
        for field in ("arena_kib", "teacher_width"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}; it must be at least 1.")

    @property
    def arena_budget(self) -> int:
        """What the model's arena may take, in bytes."""
        return self.arena_kib * 1024

    def fingerprint(self, *fields: str) -> str:
        """Returns twelve hexadecimal digits that change with any of the fields named."""
        chosen = {field: value for field, value in dataclasses.asdict(self).items()
                  if field in fields}  # fmt: skip
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def read_tables(path: AnyPath) -> dict[str, Any]:
    """Returns what a recipe's file holds.

    Raises:
        ConfigError: If it is missing or no TOML.
    """
    path = checked_path("path", path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no recipe that can be read: {error}.") from error


def check_name(name: str) -> None:
    """Checks that files can be named after a model.

    Raises:
        ConfigError: If they cannot.
    """
    if not name.isidentifier():
        raise ConfigError(
            f"name is {name!r}; it must be letters, digits and underscores, since files are "
            "named after it."
        )


def _taken(table: dict[str, Any], field: str, kind: type) -> Any:
    if field not in table:
        raise ConfigError(f"{field} is missing; it must be given as a {kind.__name__}.")
    value = table.pop(field)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{field} is {value!r}; it must be a {kind.__name__}.")
    return value


def _refuse_rest(table: str, rest: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    for field in rest:
        allowed = f"; known are {', '.join(known)}" if known else ""
        raise ConfigError(f"{table}{field} is no field of a recipe{allowed}.")


def _architecture(table: dict[str, Any]) -> Architecture:
    depth = _taken(table, "depth", int)
    for field in ("num_heads", "mlp_ratio"):
        # One number stands for all blocks.
        if isinstance(table.get(field), int | float):
            table[field] = (table[field],) * depth
        elif field in table:
            table[field] = tuple(table[field])
    table.setdefault("rank_ratio", None)
    known = tuple(field.name for field in dataclasses.fields(Architecture))
    _refuse_rest("architecture.", {key: table[key] for key in table if key not in known}, known)
    try:
        architecture = Architecture(**table)
    except TypeError as error:
        raise ConfigError(f"architecture: {error}.") from error
    if architecture.depth != depth:
        raise ConfigError(
            f"architecture.depth is {depth}, but num_heads has {architecture.depth} entries."
        )
    return architecture


def _training(name: str, table: dict[str, Any]) -> Training:
    epochs, batch_size = (_taken(table, field, int) for field in ("epochs", "batch_size"))
    unknown = {key: table[key] for key in table if key not in _TRAINING_FIELDS}
    _refuse_rest(f"{name}.", unknown, ("epochs", "batch_size", *_TRAINING_FIELDS))
    return Training(epochs, batch_size, TrainingRecipe(**table))
