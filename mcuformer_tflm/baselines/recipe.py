"""How a baseline is made: as a model of the zoo is, but for the network."""

from __future__ import annotations

import dataclasses
from typing import Any

from mcuformer_tflm.baselines.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.baselines.fixed_vit import fixed_vit
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.zoo.recipe import ZooRecipe, check_name, read_tables

_KINDS = ("depthwise_cnn", "vision_transformer")


@dataclasses.dataclass(frozen=True)
class BaselineRecipe:
    """A network, and the recipe of the zoo that it is trained by.

    Attributes:
        name: The baseline's name, and that of its files.
        like: Data set, seed, arena, teacher and both stretches of training are this recipe's.
        network: What is trained in the place of its network.
    """

    name: str
    like: ZooRecipe
    network: DepthwiseCnn | Architecture

    @classmethod
    def read(cls, path: AnyPath) -> BaselineRecipe:
        """Reads a TOML file: ``name``, ``like`` (a recipe's path, from this file on), a network.

        Raises:
            ConfigError: If the file is missing or no TOML, or a field is missing, unknown or out
                of range.
        """
        path = checked_path("path", path)
        content = read_tables(path)
        kinds = [kind for kind in _KINDS if kind in content]
        if set(content) - {"name", "like", *_KINDS} or len(kinds) != 1:
            raise ConfigError(
                f"{path} has the fields {', '.join(content)}; it must have name, like, and one of "
                f"the tables {', '.join(_KINDS)}."
            )
        for field in ("name", "like"):
            if not isinstance(content.get(field), str):
                raise ConfigError(f"{path}: {field} is {content.get(field)!r}; it must be a text.")
        try:
            check_name(content["name"])
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        like = ZooRecipe.read(path.parent / content["like"])
        try:
            network = _network(kinds[0], content[kinds[0]], like.architecture)
        except (ConfigError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: {kinds[0]}: {error}") from error
        return cls(content["name"], like, network)

    def description(self) -> dict[str, Any]:
        """Returns the network as values that JSON has: its kind, and its fields."""
        kind = "depthwise_cnn" if isinstance(self.network, DepthwiseCnn) else "vision_transformer"
        fields = {"kind": kind, **dataclasses.asdict(self.network)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }


def network_of(description: dict[str, Any]) -> DepthwiseCnn | Architecture:
    """Returns the network of a ``BaselineRecipe.description`` that went through JSON.

    Raises:
        ConfigError: If it describes none.
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in description.items()
        if name != "kind"
    }
    try:
        if description.get("kind") == "depthwise_cnn":
            return DepthwiseCnn(**fields)
        return Architecture(**fields)
    except TypeError as error:
        raise ConfigError(f"This describes no baseline: {error}.") from error


def _network(kind: str, table: dict[str, Any], like: Architecture) -> DepthwiseCnn | Architecture:
    if kind == "vision_transformer":
        return fixed_vit(like, **table)
    blocks = tuple(table.pop("blocks", ()))
    return DepthwiseCnn(like.image_size, like.channels, like.num_classes, blocks=blocks, **table)
