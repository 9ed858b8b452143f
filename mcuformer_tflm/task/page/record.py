"""What a run keeps for its page beside the figures of its report."""

from __future__ import annotations

import base64
import dataclasses
import importlib.metadata
import io
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from mcuformer_tflm.data.image_data import to_floats
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED, read_text
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.quantize.report import LayerError
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.oracles.front import OBJECTIVE_LABELS, Front
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.space import SearchSpace

RECORD_FILE = "record.json"
PICTURES = 20
_FORMAT = 1
_LONGEST_SIDE = 96
_CURVE_POINTS = 200
_PACKAGES = (
    "mcuformer-tflm", "tensorflow", "tf-keras", "keras-tuner", "tensorflow-model-optimization",
    "tflite-micro", "numpy",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Curve:
    """How the loss of a training fell.

    Attributes:
        name: Of the training.
        steps: How many there were.
        losses: Means over equal stretches of them.
    """

    name: str
    steps: int
    losses: tuple[float, ...]

    @classmethod
    def of(cls, name: str, losses: Sequence[float]) -> Self:
        """Returns the curve of the loss of every step."""
        values = np.asarray(losses, np.float64)
        parts = np.array_split(values, max(1, min(len(values), _CURVE_POINTS)))
        return cls(
            name, len(values), tuple(round(float(part.mean()), 5) for part in parts if len(part))
        )


@dataclasses.dataclass(frozen=True)
class SpacePath:
    """The way of a search of a space.

    Attributes:
        space: What was searched.
        visits: In the order in which they ended.
        steps: Whether walkers went from pair to pair; else networks were compared, one of each.
    """

    space: SearchSpace
    visits: tuple[Visit, ...]
    steps: bool = True

    @classmethod
    def of(cls, oracle: SpaceOracle, *, steps: bool = True) -> Self:
        """Returns the way of a search that has ended."""
        return cls(oracle.space, tuple(oracle.history), steps)


@dataclasses.dataclass(frozen=True)
class Scores:
    """The subnets that were scored.

    Attributes:
        accuracy: Of each, on validation images, 0 to 1.
        on_front: Whether no other beats it in all figures.
        costs: By objective, of each.
        limits: The budget's, by objective; of those that have one.
        chosen: Index of the one that was trained on.
    """

    accuracy: tuple[float, ...]
    on_front: tuple[bool, ...]
    costs: Mapping[str, tuple[float, ...]]
    limits: Mapping[str, float]
    chosen: int

    @classmethod
    def of(cls, front: Front) -> Self:
        """Returns the scores behind a front."""
        best = set(map(id, front))
        accuracy = tuple(subnet.accuracy for subnet in front.scored)
        costs = {
            name: tuple(getattr(subnet, name) for subnet in front.scored)
            for name in front.objectives
            if name in OBJECTIVE_LABELS
        }
        limits = {name: front.limit(name) for name in costs}
        return cls(
            accuracy,
            tuple(id(subnet) in best for subnet in front.scored),
            costs,
            {name: limit for name, limit in limits.items() if limit is not None},
            accuracy.index(max(accuracy)),
        )


@dataclasses.dataclass(frozen=True)
class Operator:
    """What an operator of the model is estimated to cost.

    Attributes:
        name: Of its function in firmware.
        instructions: Of one inference.
    """

    name: str
    instructions: float


@dataclasses.dataclass(frozen=True)
class Picture:
    """A test image, and what the int8 model said.

    Attributes:
        png: The image, in base64.
        wanted: Its class.
        said: The class that the model chose.
        share: The softmax's share of that.
    """

    png: str
    wanted: int
    said: int
    share: float


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What there is beside a report; whatever a run has not is None or empty.

    Attributes:
        labels: Class names by index.
        command: What repeats the run.
        versions: Of what it ran with.
        curves: Of its trainings, in order.
        path: Of the space's evolution.
        scores: Of subnets.
        layers: What quantization costs each, the worst first.
        operators: In the order in which they run.
        confusion: Of test images: [class][what was said], numbers of images.
        pictures: Some test images.
    """

    labels: tuple[str, ...] = ()
    _: dataclasses.KW_ONLY
    command: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    path: SpacePath | None = None
    scores: Scores | None = None
    layers: tuple[LayerError, ...] = ()
    operators: tuple[Operator, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    pictures: tuple[Picture, ...] = ()

    def write(self, path: AnyPath) -> None:
        """Writes the record as JSON.

        Raises:
            ConfigError: If it cannot be written.
        """
        fields = {"format": _FORMAT, **dataclasses.asdict(self)}
        if self.path is not None:
            fields["path"]["space"] = self.path.space.to_dict()
        write_whole(path, json.dumps(_finite(fields)) + "\n")

    @classmethod
    def read(cls, path: AnyPath) -> RunRecord:
        """Reads what ``write`` has written.

        Raises:
            ConfigError: If the file cannot be read, or is no record.
        """
        path = checked_path("path", path)
        try:
            fields = json.loads(read_text(path))
            if fields.pop("format") != _FORMAT:
                raise ValueError("another version has written it")
            return _record(fields)
        except DAMAGED as error:
            raise ConfigError(
                f"{path} is no record of a run ({error or type(error).__name__}); run it again, or "
                "remove the file for a page of the rest."
            ) from error


def versions() -> dict[str, str]:
    """Returns the versions of what is at work here."""
    told = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {**told, "Python": platform.python_version(), "machine": platform.platform()}


def confusion_of(
    classes: np.ndarray, said: np.ndarray, num_classes: int
) -> tuple[tuple[int, ...], ...]:
    """Returns how many images of each class were said to be of each."""
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (classes, said), 1)
    return tuple(map(tuple, counts.tolist()))


def pictures_of(images: np.ndarray, classes: np.ndarray, logits: np.ndarray) -> tuple[Picture, ...]:
    """Returns test images at equal distances, and what was said of them.

    Args:
        images: uint8[n, height, width, channels], or floats in [-1, 1).
        classes: int[n].
        logits: float[n, num_classes].
    """
    places = np.linspace(0, len(images) - 1, min(PICTURES, len(images))).astype(int)
    found = []
    for place in places:
        shares = np.exp(logits[place] - logits[place].max())
        said = int(shares.argmax())
        share = round(float(shares[said] / shares.sum()), 4)
        found.append(Picture(_png(images[place]), int(classes[place]), said, share))
    return tuple(found)


def _png(image: np.ndarray) -> str:
    from PIL import Image

    pixels = image if image.dtype == np.uint8 else np.round(to_floats(image) * 128 + 128)
    pixels = np.asarray(pixels).clip(0, 255).astype(np.uint8)
    shown = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    shown.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    written = io.BytesIO()
    shown.save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def _record(fields: dict[str, Any]) -> RunRecord:
    labels = tuple(map(str, fields.pop("labels")))
    confusion = tuple(tuple(map(int, row)) for row in fields.pop("confusion"))
    if confusion and any(len(row) != len(labels) for row in (confusion, *confusion)):
        raise ValueError("confusion is not of its classes")
    path, scores, command = fields.pop("path"), fields.pop("scores"), fields.pop("command")
    record = RunRecord(
        labels,
        command=None if command is None else str(command),
        versions={str(name): str(version) for name, version in fields.pop("versions").items()},
        curves=tuple(
            Curve(str(curve["name"]), int(curve["steps"]), tuple(map(float, curve["losses"])))
            for curve in fields.pop("curves")
        ),
        path=None if path is None else _path(path),
        scores=None if scores is None else _scores(scores),
        layers=tuple(map(_layer, fields.pop("layers"))),
        operators=tuple(
            Operator(str(one["name"]), float(one["instructions"]))
            for one in fields.pop("operators")
        ),
        confusion=confusion,
        pictures=tuple(_picture(one, len(labels)) for one in fields.pop("pictures")),
    )
    if fields:
        raise ValueError(f"{', '.join(fields)} is no field")
    return record


def _path(fields: dict[str, Any]) -> SpacePath:
    space = SearchSpace.from_dict(fields["space"])
    limits = [len(getattr(space, factor)) for factor in space.space_factors]
    visits = []
    for point, epochs, score, walker in fields["visits"]:
        place = tuple(map(int, point))
        if len(place) != len(limits) or not all(
            0 <= index < limit for index, limit in zip(place, limits, strict=True)
        ):
            raise ValueError(f"{point} is no pair of its space")
        visits.append(Visit(place, int(epochs), float(score), int(walker)))
    steps = fields.get("steps", True)  # there were no others before it could be told
    if not isinstance(steps, bool):
        raise ValueError("steps is neither true nor false")
    return SpacePath(space, tuple(visits), steps)


def _scores(fields: dict[str, Any]) -> Scores:
    accuracy = tuple(map(float, fields["accuracy"]))
    costs = {name: tuple(map(float, values)) for name, values in fields["costs"].items()}
    scores = Scores(
        accuracy,
        tuple(map(bool, fields["on_front"])),
        costs,
        {name: float(limit) for name, limit in fields["limits"].items()},
        int(fields["chosen"]),
    )
    if any(len(part) != len(accuracy) for part in (scores.on_front, *costs.values())):
        raise ValueError("scores are of unlike numbers of subnets")
    if not set(costs) <= set(OBJECTIVE_LABELS) or not 0 <= scores.chosen < len(accuracy):
        raise ValueError("scores name what there is not")
    return scores


def _layer(fields: dict[str, Any]) -> LayerError:
    weight = fields["weight_sqnr"]
    return LayerError(
        layer=str(fields["layer"]),
        operator=str(fields["operator"]),
        sqnr=float(fields["sqnr"]),
        network_sqnr=float(fields["network_sqnr"]),
        weight_sqnr=None if weight is None else float(weight),
        clipped=float(fields["clipped"]),
        low=float(fields["low"]),
        high=float(fields["high"]),
        num_bits=int(fields["num_bits"]),
    )


def _picture(fields: dict[str, Any], num_classes: int) -> Picture:
    png = str(fields["png"])
    base64.b64decode(png, validate=True)
    wanted, said = int(fields["wanted"]), int(fields["said"])
    if not (0 <= wanted < num_classes and 0 <= said < num_classes):
        raise ValueError("a picture is of no class")
    return Picture(png, wanted, said, float(fields["share"]))


def _finite(value: Any) -> Any:
    # JSON has no infinity; ``float`` reads its name.
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
