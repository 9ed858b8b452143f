"""Where ``train``, ``quantize`` and ``convert`` find networks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mcuformer_tflm.keras_models.exceptions import ConfigError

if TYPE_CHECKING:
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.keras_models.network import Network
    from mcuformer_tflm.task.network_run import NetworkRun

_REMEDY = (
    "give a name of `mcuformer zoo list`, an architecture's .json, a .tflite, or the folder of a "
    "search"
)


def architecture_named(name: str) -> Architecture:
    """Returns a network of the zoo, of a file, or of what a run has left.

    Args:
        name: A model of the zoo; an architecture's JSON; a run's ``report.json``; a ``.tflite``; or
            a folder with one of the last two.

    Raises:
        ConfigError: If there is none.
        ModelError: If a ``.tflite`` is none of ours.
    """
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.keras_models.untrusted_files import read_text
    from mcuformer_tflm.task.report import MODEL_FILE, REPORT_FILE
    from mcuformer_tflm.zoo.catalogue import model_card, model_names
    from mcuformer_tflm.zoo.network import network_of

    if name in model_names():
        network = network_of(model_card(name).network)
        if not isinstance(network, Architecture):
            raise ConfigError(f"{name} is no transformer; {_REMEDY}.")
        return network
    path = Path(name)
    if path.is_dir():
        there = [path / part for part in (REPORT_FILE, MODEL_FILE) if (path / part).is_file()]
        if not there:
            raise ConfigError(f"{path} holds neither {REPORT_FILE} nor {MODEL_FILE}; {_REMEDY}.")
        path = there[0]
    if path.suffix == ".tflite":
        return _of_model(path)
    if path.suffix != ".json":
        raise ConfigError(f"There is no network {name!r}; {_REMEDY}.")
    try:
        fields = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON ({error}).") from error
    text = fields.get("architecture") if isinstance(fields, dict) else None
    try:
        return Architecture.from_json(text if isinstance(text, str) else json.dumps(fields))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _of_model(path: Path) -> Architecture:
    from mcuformer_tflm.convert.metadata import read_architecture
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph

    return read_architecture(read_our_graph(path))


def for_images(
    architecture: Architecture, image_shape: tuple[int, int, int], num_classes: int
) -> Architecture:
    """Returns a network with the input and the classes of other data.

    Raises:
        ConfigError: If it has no network of such images: names the field.
    """
    height, width, channels = image_shape
    size = height if height == width else (height, width)
    return dataclasses.replace(
        architecture, image_size=size, channels=channels, num_classes=num_classes
    )


def step_before(place: Path, name: str, command: str) -> Path:
    """Returns the file that a step starts from.

    Args:
        place: A folder of results, or a file.
        name: The file's name in a folder.
        command: The one that leaves it there.

    Raises:
        ConfigError: If there is none.
    """
    if not place.is_dir():
        return place
    if not (place / name).is_file():
        raise ConfigError(f"{place} holds no {name}; run `mcuformer {command}` first.")
    return place / name


def run_of(folder: Path) -> NetworkRun | None:
    """Returns the run whose results a folder holds; None where it holds none.

    Raises:
        ConfigError: If its run file is damaged.
    """
    from mcuformer_tflm.task.network_run import TRAIN_FILE, NetworkRun

    path = folder / TRAIN_FILE
    return NetworkRun.read(path) if path.is_file() else None


def load_step(path: Path) -> Network:
    """Returns the network of a .keras file.

    Raises:
        CheckpointError: If there is none that is ours.
        ConfigError: If it is a supernet.
    """
    from mcuformer_tflm.keras_models.network import Network
    from mcuformer_tflm.keras_models.saved_model import load_model

    network = load_model(path)
    if not isinstance(network, Network):
        raise ConfigError(f"{path} holds a supernet; save what its extract(...) gives.")
    return network
