"""A search as a TOML file: everything that decides what `mcuformer search` finds."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import tomlkit

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_real,
    checked_seed,
    checked_type,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.task.toml_tables import (
    known_fields,
    recipe_of,
    run_of_file,
    table_of,
    those_given,
)

RUN_FILE = "run.toml"
# Of a folder of results: what an interrupted run keeps.
UNFINISHED = "unfinished-run"
_KIB = 1024
_MINUTES, _MINUTES_WITH_SUPERNET = 30.0, 5.0
_MOST_MINUTES = 366 * 24 * 60.0


@dataclasses.dataclass(frozen=True)
class SearchRun:
    """What is searched, for what, and in how much time.

    Attributes:
        data: The data set's name, as for ``mcuformer_tflm.data.load``; None for the supernet's.
        board: A board's name, or its TOML file; None where arena and flash are both given.
        arena_kib: Limits the arena, in KiB.
        flash_kib: Limits the model file, in KiB.
        ms: Limits an inference, in milliseconds by estimate; needs a board.
        minutes: How long the whole run may take, up to a year; by default 30, with a supernet 5.
        seed: Of all random choices.
        batch_size: Images a step.
        weight_bits: Of the blocks' weights.
        residual_bits: Of the residual stream.
        supernet: A trained supernet, by its name in the zoo or its file: its subnets are searched.
        train_supernet: Whether a supernet is searched by and left, which serves other budgets; else
            networks are compared that are trained alone, and end better in the same time.
        space: What is searched without one; by default what suits the shape of the images.
        training: How networks are trained; by default as ``TrainingRecipe`` says, and with a
            supernet as that was.
    """

    data: str | None = None
    board: str | None = None
    _: dataclasses.KW_ONLY
    arena_kib: int | None = None
    flash_kib: int | None = None
    ms: float | None = None
    minutes: float | None = None
    seed: int = 0
    batch_size: int = 128
    weight_bits: int = 8
    residual_bits: int = 8
    supernet: str | None = None
    train_supernet: bool = False
    space: SearchSpace | None = None
    training: TrainingRecipe | None = None

    def __post_init__(self) -> None:
        """Checks every field but the names, which are looked up where they are needed.

        Raises:
            ConfigError: If one is out of range, or there is neither data nor supernet, neither
                board nor arena and flash.
        """
        for field in ("data", "board", "supernet"):
            value = getattr(self, field)
            if value is not None and not checked_type(field, value, str):
                raise ConfigError(f"{field} is ''; it must be a name or a path.")
        for field in ("arena_kib", "flash_kib"):
            if getattr(self, field) is not None:
                checked_whole(field, getattr(self, field), most=1 << 21)
        if self.ms is not None:
            keep = checked_real("ms", self.ms, open_below=True, open_above=True)
            object.__setattr__(self, "ms", keep)
        minutes = self.minutes
        if minutes is None:
            minutes = _MINUTES if self.supernet is None else _MINUTES_WITH_SUPERNET
        minutes = checked_real("minutes", minutes, high=_MOST_MINUTES, open_below=True)
        object.__setattr__(self, "minutes", minutes)
        checked_seed(self.seed)
        checked_whole("batch_size", self.batch_size)
        if self.data is None and self.supernet is None:
            raise ConfigError("data is missing; name a data set, or a trained supernet.")
        if self.space is not None and self.supernet is not None:
            raise ConfigError(
                f"space is given, but the supernet {self.supernet} has its own; leave one out."
            )
        if checked_type("train_supernet", self.train_supernet, bool) and self.supernet is not None:
            raise ConfigError(
                f"train_supernet is true, but there is the supernet {self.supernet}; leave one out."
            )
        self._check_limits()

    def _check_limits(self) -> None:
        if self.board is not None:
            return
        if self.arena_kib is None or self.flash_kib is None:
            raise ConfigError("board is missing; give a board, or both arena_kib and flash_kib.")
        if self.ms is not None:
            raise ConfigError(f"ms is {self.ms:g}, but no board, whose clock would tell; give one.")

    @classmethod
    def read(cls, path: AnyPath, **given: Any) -> SearchRun:
        """Reads a run file.

        Args:
            path: The file: any field by its name, ``space`` and ``training`` as tables of the
                fields of ``SearchSpace`` and ``TrainingRecipe``, where ``"none"`` stands for None.
            **given: Fields that count instead of the file's, where they are not None.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is unknown or wrong; names
                file and field.
        """
        return run_of_file(cls.of_fields, path, given)

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> SearchRun:
        """Returns a run of its fields, tables as dictionaries; None stands for a default.

        Raises:
            ConfigError: If one is unknown or wrong.
        """
        fields = known_fields(cls, those_given(fields))
        for table, kind, make in (
            ("space", SearchSpace, SearchSpace.from_dict),
            ("training", TrainingRecipe, recipe_of),
        ):
            if isinstance(fields.get(table), dict):
                try:
                    fields[table] = make(fields[table])
                except ConfigError as error:
                    raise ConfigError(f"{table}: {error}") from error
            elif table in fields:
                checked_type(table, fields[table], kind)
        return cls(**fields)

    @property
    def quantization(self) -> QuantizationConfig:
        """How networks are quantized."""
        return QuantizationConfig(weight_bits=self.weight_bits, residual_bits=self.residual_bits)

    def budget(self) -> Budget:
        """Returns what a model may take.

        Raises:
            ConfigError: If there is no such board, or its clock is not known and time is limited.
        """
        arena, flash = (
            None if limit is None else limit * _KIB for limit in (self.arena_kib, self.flash_kib)
        )
        if self.board is None:
            assert arena is not None
            assert flash is not None
            name = f"{self.arena_kib} KiB of arena, {self.flash_kib} KiB of flash"
            return Budget(arena, flash, name, quantization=self.quantization)
        return Budget.of_board(
            self.board, arena, flash=flash, quantization=self.quantization, milliseconds=self.ms
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that are set, in JSON's values; tables hold all of theirs."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.space is not None:
            fields["space"] = self.space.to_dict()
        if self.training is not None:
            fields["training"] = table_of(dataclasses.asdict(self.training))
        return json.loads(json.dumps(those_given(fields)))

    def write(self, path: AnyPath) -> None:
        """Writes the run as a file that ``read`` reads.

        Raises:
            ConfigError: If it cannot be written.
        """
        write_whole(path, tomlkit.dumps(self.to_dict()))
