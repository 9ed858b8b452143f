"""The networks that recipes train: transformers, and the CNN that they are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.checkpoint import load_weights
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn

Network: TypeAlias = Architecture | DepthwiseCnn


def fields_of(network: Network) -> dict[str, Any]:
    """Returns a network's fields by name."""
    return network.to_dict() if isinstance(network, Architecture) else dataclasses.asdict(network)


def describe(network: Network) -> dict[str, Any]:
    """Returns a network as values that JSON has: its kind, and its fields."""
    kind = "depthwise_cnn" if isinstance(network, DepthwiseCnn) else "vision_transformer"
    fields = {"kind": kind, **fields_of(network)}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()
    }


def network_of(description: Mapping[str, Any]) -> Network:
    """Returns the network of a ``describe`` that went through JSON.

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
        raise ConfigError(f"This describes no network: {error}.") from error


def load_network(network: Network, weights: AnyPath) -> tf_keras.Model:
    """Builds a network in float with weights that ``save_halves`` has written.

    Raises:
        CheckpointError: If they are missing, damaged, or of another network.
    """
    model = network.build() if isinstance(network, DepthwiseCnn) else build_subnet(network)
    load_weights(model, weights)
    return model
