"""The training of one architecture as a TOML file: what decides what it becomes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal, get_args

import tomlkit

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_seed,
    checked_type,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.task.toml_tables import (
    fields_of,
    known_fields,
    recipe_of,
    run_of_file,
    table_of,
    those_given,
)

TRAIN_FILE = "train.toml"
Start = Literal["random", "structured"]


@dataclasses.dataclass(frozen=True)
class NetworkRun:
    """What is trained, on what, and for how long.

    Attributes:
        data: The data set's name, as for ``mcuformer_tflm.data.load``.
        architecture: The network.
        board: The board that it is for, a name or its TOML file; None for none in particular.
        epochs: Passes over the training images.
        teacher_epochs: Of a convolutional teacher before that, which it follows; 0 for none.
        batch_size: Images a step.
        start: First weights of attention, as for ``SupernetTuner``.
        seed: Of all random choices.
        training: How; by default as ``TrainingRecipe`` says.
    """

    data: str
    architecture: Architecture
    _: dataclasses.KW_ONLY
    board: str | None = None
    epochs: int = 10
    teacher_epochs: int = 0
    batch_size: int = 128
    start: Start = "random"
    seed: int = 0
    training: TrainingRecipe | None = None

    def __post_init__(self) -> None:
        """Checks every field but the names, which are looked up where they are needed.

        Raises:
            ConfigError: If one is out of range.
        """
        for field in ("data", "board"):
            value = getattr(self, field)
            if (field == "data" or value is not None) and not checked_type(field, value, str):
                raise ConfigError(f"{field} is ''; it must be a name or a path.")
        checked_type("architecture", self.architecture, Architecture)
        checked_whole("epochs", self.epochs)
        checked_whole("teacher_epochs", self.teacher_epochs, least=0)
        checked_whole("batch_size", self.batch_size)
        checked_choice("start", self.start, get_args(Start))
        checked_seed(self.seed)
        if self.training is not None:
            checked_type("training", self.training, TrainingRecipe)
            if self.training.distillation_weight and not self.teacher_epochs:
                raise ConfigError(
                    f"distillation_weight is {self.training.distillation_weight}, but "
                    "teacher_epochs is 0; give the teacher epochs."
                )

    @property
    def recipe(self) -> TrainingRecipe:
        """How it is trained."""
        return self.training or TrainingRecipe()

    @classmethod
    def read(cls, path: AnyPath, **given: Any) -> NetworkRun:
        """Reads a run file.

        Args:
            path: The file: any field by its name, ``architecture`` and ``training`` as tables of
                the fields of ``Architecture`` and ``TrainingRecipe``, where ``"none"`` stands for
                None.
            **given: Fields that count instead of the file's, where they are not None.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is missing, unknown or
                wrong; names file and field.
        """
        return run_of_file(cls.of_fields, path, given)

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> NetworkRun:
        """Returns a run of its fields, tables as dictionaries; None stands for a default.

        Raises:
            ConfigError: If one is missing, unknown or wrong.
        """
        fields = known_fields(cls, those_given(fields))
        if "data" not in fields:
            raise ConfigError("data is missing; name a data set.")
        if isinstance(fields.get("architecture"), dict):
            text = json.dumps(fields_of(fields["architecture"]))
            fields["architecture"] = Architecture.from_json(text)
        if isinstance(fields.get("training"), dict):
            try:
                fields["training"] = recipe_of(fields["training"])
            except ConfigError as error:
                raise ConfigError(f"training: {error}") from error
        if "architecture" not in fields:
            raise ConfigError("architecture is missing; give the table of a network.")
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields that are set, in JSON's values; tables hold all of theirs."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["architecture"] = table_of(self.architecture.to_dict())
        if self.training is not None:
            fields["training"] = table_of(dataclasses.asdict(self.training))
        return json.loads(json.dumps(those_given(fields)))

    def write(self, path: AnyPath) -> None:
        """Writes the run as a file that ``read`` reads.

        Raises:
            ConfigError: If it cannot be written.
        """
        fields = self.to_dict()
        # Tables last, as TOML wants them.
        ordered = dict(sorted(fields.items(), key=lambda field: isinstance(field[1], dict)))
        write_whole(path, tomlkit.dumps(ordered))
