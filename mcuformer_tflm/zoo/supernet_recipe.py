"""How a trained supernet of the zoo is made, read from a TOML file."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_path,
    checked_seed,
    checked_whole,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.zoo.recipe_tables import (
    Training,
    check_name,
    read_tables,
    refuse_rest,
    taken,
    told_of,
    training_of,
)


@dataclasses.dataclass(frozen=True)
class SupernetRecipe:
    """Everything that decides what a supernet becomes.

    Attributes:
        name: The supernet's name, and that of its files.
        data: The data set's name (``mcuformer_tflm.data.load``).
        seed: Of all random choices.
        space: Its networks, of one patch size, rank ratio and stem.
        teacher_width: Channels of the teacher's first stage.
        teacher: Training of the convolutional teacher.
        training: Training of the supernet, which follows the teacher.
    """

    name: str
    data: str
    seed: int
    space: SearchSpace
    teacher_width: int
    teacher: Training
    training: Training

    @classmethod
    def read(cls, path: AnyPath) -> SupernetRecipe:
        """Reads a recipe: ``name``, ``data``, ``seed``, ``[space]``, ``[teacher]``, ``[supernet]``.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is missing, unknown or out
                of range.
        """
        path = checked_path("path", path)
        content = read_tables(path)
        with told_of(path):
            tables = {
                name: dict(taken(content, name, dict)) for name in ("space", "teacher", "supernet")
            }
            fields = {name: taken(content, name, str) for name in ("name", "data")}
            seed = taken(content, "seed", int)
            width = taken(tables["teacher"], "width", int)
            refuse_rest("", content)
            return cls(
                **fields,
                seed=seed,
                space=SearchSpace.from_dict(tables["space"]),
                teacher_width=width,
                teacher=training_of("teacher", tables["teacher"]),
                training=training_of("supernet", tables["supernet"]),
            )

    def __post_init__(self) -> None:
        """Checks the fields that no other class checks.

        Raises:
            ConfigError: If a field is out of range.
        """
        check_name(self.name)
        checked_seed(self.seed)
        checked_whole("teacher_width", self.teacher_width)
        if len(self.space.pairs()) != 1:
            raise ConfigError(
                f"space has {len(self.space.pairs())} supernets; give patch_size, rank_ratio and "
                "stem one value each."
            )
        if self.training.held_out < 1:
            raise ConfigError(
                "held_out of [supernet] is 0; subnets are scored on images that the supernet has "
                "not seen, so it must be at least 1."
            )
        if self.teacher.held_out < self.training.held_out:
            raise ConfigError(
                f"held_out of [teacher] is {self.teacher.held_out}; it must be that of [supernet], "
                f"{shown(self.training.held_out)}, at least: what the teacher has seen it tells."
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields in JSON's values."""
        fields = dataclasses.asdict(self)
        fields["space"] = self.space.to_dict()
        fields |= {stretch: getattr(self, stretch).to_dict() for stretch in ("teacher", "training")}
        return json.loads(json.dumps(fields))
