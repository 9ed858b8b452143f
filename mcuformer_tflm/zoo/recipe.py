"""How a model of the zoo, or a baseline, is made, read from a TOML file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.architecture import MAX_DEPTH, Architecture
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_path,
    checked_seed,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.fixed_vit import fixed_vit
from mcuformer_tflm.zoo.network import Network, fields_of
from mcuformer_tflm.zoo.recipe_tables import (
    Training,
    check_name,
    fingerprint_of,
    read_tables,
    refuse_rest,
    taken,
    told_of,
    training_of,
)

# Tables of a baseline's file that tell its network.
_BASELINES = ("depthwise_cnn", "vision_transformer")
_STRETCHES = ("teacher", "float_training", "quantized_training")


@dataclasses.dataclass(frozen=True)
class ZooRecipe:
    """Everything that decides what a model becomes; the same recipe gives the same model.

    A baseline is made as a model of the zoo is, but for the network.

    Attributes:
        name: The model's name, and that of its files.
        data: The data set's name (``mcuformer_tflm.data.load``).
        seed: Of all random choices.
        arena_kib: What the model's arena may take on a Cortex-M, in KiB.
        network: What is trained.
        teacher_width: Channels of the teacher's first stage.
        teacher: Training of the convolutional teacher.
        float_training: Training of the network in float, following the teacher.
        quantized_training: Training with TF-MOT's rounding, following the teacher.
        supernet: The supernet with whose weights training in float starts, by its name in the zoo
            or its file; None starts with weights that are drawn.
        like: Of a baseline: the recipe of the zoo that it has everything from but name, network
            and supernet.
    """

    name: str
    data: str
    seed: int
    arena_kib: int
    network: Network
    teacher_width: int
    teacher: Training
    float_training: Training
    quantized_training: Training
    _: dataclasses.KW_ONLY
    supernet: str | None = None
    like: ZooRecipe | None = None

    @classmethod
    def read(cls, path: AnyPath) -> ZooRecipe:
        """Reads a recipe: one with all fields, or a baseline's.

        A baseline's file has ``name``, ``like`` (a recipe's path, from this file on) and the
        table of a network.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is missing, unknown or out
                of range.
        """
        path = checked_path("path", path)
        content = read_tables(path)
        if _is_baseline(content):
            return cls._read_baseline(path, content)
        with told_of(path):
            return cls._from_tables(content)

    @classmethod
    def _read_baseline(cls, path: Path, content: dict[str, Any]) -> ZooRecipe:
        with told_of(path):
            _check_baseline(content)
        like = path.parent / content["like"]
        tables = read_tables(like)
        with told_of(path):
            if _is_baseline(tables):
                raise ConfigError(
                    f"like is {content['like']!r}, which is the recipe of a baseline."
                )
        with told_of(like):
            model = cls._from_tables(tables)
        with told_of(path):
            return model._baseline(content)

    @classmethod
    def _from_tables(cls, content: dict[str, Any]) -> ZooRecipe:
        tables = {
            name: dict(taken(content, name, dict))
            for name in ("architecture", "teacher", "float", "quantized")
        }
        fields = {name: taken(content, name, str) for name in ("name", "data")}
        numbers = {name: taken(content, name, int) for name in ("seed", "arena_kib")}
        width = taken(tables["teacher"], "width", int)
        supernet = taken(content, "supernet", str) if "supernet" in content else None
        refuse_rest("", content)
        return cls(
            **fields,
            **numbers,
            supernet=supernet,
            network=_architecture(tables["architecture"]),
            teacher_width=width,
            teacher=training_of("teacher", tables["teacher"]),
            float_training=training_of("float", tables["float"]),
            quantized_training=training_of("quantized", tables["quantized"]),
        )

    def _baseline(self, content: dict[str, Any]) -> ZooRecipe:
        kind = next(kind for kind in _BASELINES if kind in content)
        try:
            network = _baseline_network(kind, content[kind], self.network)
        except (ConfigError, TypeError, ValueError) as error:
            raise ConfigError(f"{kind}: {error}") from error
        return self.with_network(content["name"], network)

    def with_network(self, name: str, network: Network) -> ZooRecipe:
        """Returns the recipe of a baseline that is made as this model is.

        Args:
            name: The baseline's name.
            network: What is trained in the place of this recipe's.

        Raises:
            ConfigError: If files cannot be named after it.
        """
        return dataclasses.replace(self, name=name, network=network, supernet=None, like=self)

    def __post_init__(self) -> None:
        """Checks the fields that no other class checks.

        Raises:
            ConfigError: If a field is out of range.
        """
        check_name(self.name)
        checked_seed(self.seed)
        for field in ("arena_kib", "teacher_width"):
            checked_whole(field, getattr(self, field))
        if self.like is None and not isinstance(self.network, Architecture):
            raise ConfigError(
                f"network is {self.network}; a model of the zoo is an Architecture. Make a "
                "baseline of it: with_network of the recipe that it is to be made like."
            )

    @property
    def arena_budget(self) -> int:
        """What the model's arena may take, in bytes."""
        return self.arena_kib * 1024

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields but ``like`` in JSON's values, ``network`` as ``architecture``.

        ``supernet`` only where there is one.
        """
        fields = dataclasses.asdict(self)
        del fields["like"]
        if self.supernet is None:
            del fields["supernet"]
        fields |= {stretch: getattr(self, stretch).to_dict() for stretch in _STRETCHES}
        fields["network"] = fields_of(self.network)
        told = {"architecture" if name == "network" else name: fields[name] for name in fields}
        return json.loads(json.dumps(told))

    def fingerprint(self, *fields: str) -> str:
        """Returns twelve hexadecimal digits that change with any of ``to_dict``'s fields named."""
        chosen = {field: value for field, value in self.to_dict().items() if field in fields}
        return fingerprint_of(chosen)


def _architecture(table: dict[str, Any]) -> Architecture:
    depth = checked_whole("depth", taken(table, "depth", int), most=MAX_DEPTH)
    for field in ("num_heads", "mlp_ratio"):
        # One number stands for all blocks.
        if isinstance(table.get(field), int | float):
            table[field] = (table[field],) * depth
    table.setdefault("rank_ratio", None)
    known = tuple(field.name for field in dataclasses.fields(Architecture))
    refuse_rest("architecture.", {key: table[key] for key in table if key not in known}, known)
    try:
        architecture = Architecture(**table)
    except TypeError as error:
        raise ConfigError(f"architecture: {error}.") from error
    if architecture.depth != depth:
        raise ConfigError(
            f"architecture.depth is {depth}, but num_heads has {architecture.depth} entries."
        )
    return architecture


def _is_baseline(content: Mapping[str, Any]) -> bool:
    return not content.keys().isdisjoint(("like", *_BASELINES))


def _check_baseline(content: Mapping[str, Any]) -> None:
    kinds = [kind for kind in _BASELINES if kind in content]
    if set(content) - {"name", "like", *_BASELINES} or len(kinds) != 1:
        raise ConfigError(
            f"the fields are {', '.join(content)}; a baseline's recipe must have name, like, and "
            f"one of the tables {', '.join(_BASELINES)}."
        )
    for field in ("name", "like"):
        if not isinstance(content.get(field), str):
            raise ConfigError(f"{field} is {content.get(field)!r}; it must be a text.")
    if not isinstance(content[kinds[0]], dict):
        raise ConfigError(f"{kinds[0]} is {content[kinds[0]]!r}; it must be a table.")


def _baseline_network(kind: str, table: dict[str, Any], like: Network) -> Network:
    if kind == "vision_transformer":
        return fixed_vit(like, **table)
    return DepthwiseCnn(like.image_size, like.channels, like.num_classes, **table)
