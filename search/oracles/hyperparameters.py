"""Networks as keras-tuner hyperparameters, and back."""

from __future__ import annotations

from typing import Any

import keras_tuner

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.space import SearchSpace

_SOURCE = "from_"


def declare_subnets(space: SearchSpace) -> keras_tuner.HyperParameters:
    """Returns the hyperparameters of a subnet; those of blocks beyond its depth are unused."""
    hp = keras_tuner.HyperParameters()
    for field in (*space.space_factors, *space.network_factors):
        hp.Choice(field, list(getattr(space, field)))
    for block in range(max(space.depth)):
        hp.Choice(f"num_heads_{block}", list(space.num_heads))
        hp.Choice(f"mlp_ratio_{block}", list(space.mlp_ratio))
    return hp


def values_from_architecture(architecture: Architecture, space: SearchSpace) -> dict[str, Any]:
    """Returns the value of each hyperparameter, the first for blocks beyond the depth.

    keras-tuner would draw those at random, and the same network would look like two.
    """
    values: dict[str, Any] = {
        field: getattr(architecture, field)
        for field in (*space.space_factors, *space.network_factors)
    }
    for block in range(max(space.depth)):
        used = block < architecture.depth
        values[f"num_heads_{block}"] = architecture.num_heads[block] if used else space.num_heads[0]
        values[f"mlp_ratio_{block}"] = architecture.mlp_ratio[block] if used else space.mlp_ratio[0]
    return values


def architecture_from_values(values: dict[str, Any], space: SearchSpace) -> Architecture:
    """Returns the network that a trial's values describe."""
    blocks = range(values["depth"])
    return space.build(
        values["patch_size"], values["rank_ratio"], values["embed_dim"],
        tuple(values[f"num_heads_{block}"] for block in blocks),
        tuple(values[f"mlp_ratio_{block}"] for block in blocks), stem=values.get("stem"),
        head_dim=values.get("head_dim"),
    )  # fmt: skip


def space_from_values(values: dict[str, Any], space: SearchSpace) -> SearchSpace:
    """Returns the part of a space that a trial's values name, which one supernet holds."""
    return space.at(values["patch_size"], values["rank_ratio"], stem=values.get("stem"))


def source_values(values: dict[str, Any]) -> dict[str, Any]:
    """Returns, of the factors that name a supernet, how a trial names it as its source."""
    return {f"{_SOURCE}{factor}": value for factor, value in values.items()}


def source_from_values(values: dict[str, Any], space: SearchSpace) -> SearchSpace | None:
    """Returns the part of a space whose supernet a trial starts from; None where from nothing."""
    found = {
        name.removeprefix(_SOURCE): value
        for name, value in values.items()
        if name.startswith(_SOURCE)
    }
    return space_from_values(found, space) if found else None
