"""A supernet that was trained, with all that tells what it is, in one file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, checked_type
from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError, DataError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.checkpoint import (
    fitting,
    numbered,
    read_arrays,
    write_arrays,
)
from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED
from mcuformer_tflm.search.cost.memory import num_parameters
from mcuformer_tflm.search.space import SearchSpace

_FORMAT = 1
_TEACHER = "teacher"
_FIELDS = ("format", "space", "data", "labels", "held_out", "recipe")


@dataclasses.dataclass(frozen=True)
class TrainedSupernet:
    """A supernet, and what it was trained on.

    Attributes:
        supernet: With its weights.
        space: Its networks: a space of one patch size, rank ratio and stem.
        data: Name of the data set.
        labels: Class names by index.
        held_out: How many of the last training images it has never seen; subnets are scored on
            them.
        epochs: Passes over the others.
        recipe: What it was made by, as JSON has it.
        teacher: The ``convolutional_teacher`` that it followed, for its networks to follow when
            they are trained on.
    """

    supernet: Supernet
    space: SearchSpace
    data: str
    labels: tuple[str, ...]
    held_out: int
    epochs: int
    recipe: Mapping[str, Any]
    _: dataclasses.KW_ONLY
    teacher: tf_keras.Model | None = None

    def __post_init__(self) -> None:
        """Checks that the supernet holds the space.

        Raises:
            ConfigError: If it does not, or the space is one of several supernets.
        """
        checked_type("space", self.space, SearchSpace)
        checked_type("supernet", self.supernet, Supernet)
        if len(self.space.pairs()) != 1:
            raise ConfigError(
                f"space has {len(self.space.pairs())} supernets; it must be that of one: "
                "SearchSpace.at."
            )
        for extreme in (self.space.smallest(), self.space.largest()):
            self.supernet.encode(extreme)
        if len(self.labels) != self.space.num_classes:
            raise ConfigError(
                f"labels are {len(self.labels)}; the space has {self.space.num_classes} classes."
            )

    def check_data(self, labels: Sequence[str], image_shape: Sequence[int]) -> None:
        """Checks that a data set is the one that the supernet was trained on, as far as is seen.

        Args:
            labels: Its class names.
            image_shape: Height, width and channels of its images.

        Raises:
            DataError: If images or classes are others.
        """
        if tuple(image_shape) != self.space.image_shape:
            raise DataError(
                f"The supernet was trained on images of {list(self.space.image_shape)} "
                f"({self.data}), and these are {list(image_shape)}; give the data that it was "
                "trained on, or search without a supernet."
            )
        if tuple(labels) != self.labels:
            raise DataError(
                f"The supernet was trained on {self.data}, whose classes are "
                f"{', '.join(self.labels)}, and these are {', '.join(labels)}; give the data that "
                "it was trained on, or search without a supernet."
            )

    def save(self, path: AnyPath) -> None:
        """Writes the supernet and its teacher, their weights in 16 bits each.

        Raises:
            CheckpointError: If the file cannot be written.
        """
        told = {
            "format": _FORMAT,
            "space": self.space.to_dict(),
            "data": self.data,
            "labels": self.labels,
            "held_out": self.held_out,
            "recipe": self.recipe,
        }
        arrays = {"epochs": np.asarray(self.epochs), "trained": np.asarray(json.dumps(told))}
        for kind, model in (("weight", self.supernet), (_TEACHER, self.teacher)):
            if model is not None:
                halves = [weight.astype(np.float16) for weight in model.get_weights()]
                arrays |= numbered(kind, halves)
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: AnyPath) -> TrainedSupernet:
        """Reads what ``save`` has written.

        Raises:
            CheckpointError: If there is no such file, it is damaged, or no trained supernet.
        """
        path = checked_path("path", path)
        saved = read_arrays(path)
        try:
            told = json.loads(str(saved["trained"]))
            if told.keys() != set(_FIELDS) or told["format"] != _FORMAT:
                raise ValueError(f"its fields are {', '.join(told)}")
            space = SearchSpace.from_dict(told["space"])
            _check_size(saved, "weight", num_parameters(space.largest()))
            supernet = Supernet(space.largest())
            supernet.set_weights(fitting(path, saved, "weight", supernet.weights))
            return cls(
                supernet, space, str(told["data"]), tuple(map(str, told["labels"])),
                int(told["held_out"]), int(saved["epochs"]), dict(told["recipe"]),
                teacher=_teacher(path, saved, space),
            )  # fmt: skip
        except DAMAGED as error:
            raise CheckpointError(
                f"{path} is no trained supernet ({error}); `mcuformer zoo supernet` makes one."
            ) from error


def _check_size(saved: Mapping[str, np.ndarray], kind: str, least: int) -> None:
    """Raises ValueError where a file says more than it holds, before a network is built of it."""
    held = sum(array.size for name, array in saved.items() if name.startswith(f"{kind}_"))
    if held < least:
        raise ValueError(f"it has {held:,} numbers of kind {kind}, and says {least:,} or more")


def _teacher(
    path: Path, saved: Mapping[str, np.ndarray], space: SearchSpace
) -> tf_keras.Model | None:
    kernel = saved.get(f"{_TEACHER}_0")
    if kernel is None:
        return None
    # The kernel of one of its convolutions, from and to four times the width.
    _check_size(saved, _TEACHER, 3 * 3 * (4 * kernel.shape[-1]) ** 2)
    teacher = convolutional_teacher(
        space.image_size, space.channels, space.num_classes, width=kernel.shape[-1]
    )
    teacher.set_weights(fitting(path, saved, _TEACHER, teacher.weights))
    return teacher
