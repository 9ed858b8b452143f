"""What a shipped model or baseline is, was made from, and measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_kinds, checked_path
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED, read_text
from mcuformer_tflm.keras_models.whole_file import write_whole


@dataclasses.dataclass(frozen=True)
class BoardFigures:
    """One inference of the model's firmware on a board, emulated.

    Attributes:
        core: The emulated core.
        instructions: Instructions of one inference.
        milliseconds_estimated: Those at the board's clock under llvm-mca's cycle model.
        code_bytes: Program, start-up included.
        constant_bytes: Weights and tables in flash.
        arena_bytes: The firmware's arena: there is no interpreter, and nothing persistent in it.
        stack_bytes: The most stack in use in one inference, the application's not counted.
        images: Test images run on the emulator.
        top1: Share of them classified right there, 0 to 1.
        equal: How many of them gave TFLM's bytes.
    """

    core: str
    instructions: int
    milliseconds_estimated: float
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    stack_bytes: int
    images: int
    top1: float
    equal: int


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Figures of one model, or of a baseline; shares are 0 to 1, sizes are bytes.

    Attributes:
        name: The model's name.
        sha256: Of the ``.tflite`` that the figures belong to.
        data: The data set.
        network: The network's kind and fields.
        test_images: Number of images behind the accuracies.
        float_top1: Accuracy of the float network (tf_keras).
        int8_top1: Accuracy of the int8 model in TFLM.
        agreement: Share of images on which the two choose the same class.
        macs: Multiply-accumulates of one inference.
        arena_budget: The arena that the recipe allows.
        arena_bytes: TFLM's arena on a Cortex-M, a transformer's under our planner, computed.
        flash_bytes: Size of the ``.tflite``.
        recipe: Of a model: the recipe's fields.
        teacher_top1: Of a model: accuracy of the teacher that it followed.
        boards: Of a model: figures by board.
        like: Of a baseline: name of the recipe of the zoo that trained it.
        arena_bytes_host: Of a baseline: what TFLM takes on this machine, 64-bit.
    """

    name: str
    sha256: str
    data: str
    network: Mapping[str, Any]
    test_images: int
    float_top1: float
    int8_top1: float
    agreement: float
    macs: int
    arena_budget: int
    arena_bytes: int
    flash_bytes: int
    _: dataclasses.KW_ONLY
    recipe: Mapping[str, Any] | None = None
    teacher_top1: float | None = None
    boards: Mapping[str, BoardFigures] | None = None
    like: str | None = None
    arena_bytes_host: int | None = None

    @classmethod
    def read(cls, path: AnyPath) -> ModelCard:
        """Reads a card that ``write`` has written.

        Raises:
            ModelError: If the file is missing, damaged, or no card.
        """
        path = checked_path("path", path)
        try:
            fields = json.loads(read_text(path))
            names = _BASELINE_FILE if "like" in fields else _MODEL_FILE
            if fields.keys() != set(names):
                raise ValueError(f"its fields are {', '.join(fields)}")
            if "like" not in fields:
                architecture = json.loads(fields.pop("architecture"))
                fields["network"] = {"kind": "vision_transformer", **architecture}
                fields["boards"] = {
                    board: checked_kinds(BoardFigures(**figures))
                    for board, figures in fields["boards"].items()
                }
            card = checked_kinds(cls(**fields))
            if card.like is None:
                card.markdown()  # which needs what a recipe has
            return card
        except DAMAGED as error:
            raise ModelError(f"{path} is no model card ({error}).") from error

    @property
    def architecture(self) -> str:
        """The network's fields in JSON: of a transformer, what ``Architecture.from_json`` takes."""
        fields = {name: value for name, value in self.network.items() if name != "kind"}
        return json.dumps(fields, sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        """Returns the card's fields as its file has them."""
        values = dataclasses.asdict(self) | {"architecture": self.architecture}
        names = _MODEL_FILE if self.like is None else _BASELINE_FILE
        return {name: values[name] for name in names}

    def write(self, folder: AnyPath) -> None:
        """Writes ``card.json``, and of a model ``card.md`` for people.

        Raises:
            ConfigError: If they cannot be written.
        """
        folder = checked_path("folder", folder)
        text = json.dumps(self.to_dict(), indent=1)
        write_whole(folder / "card.json", text + "\n")
        if self.like is None:
            write_whole(folder / "card.md", self.markdown())

    def markdown(self) -> str:
        """Returns the card of a model as a page.

        Raises:
            ModelError: If it is a baseline's, which lacks what the page tells.
        """
        if self.recipe is None or self.boards is None or self.teacher_top1 is None:
            raise ModelError(f"{self.name} is a baseline; its card has no page.")
        architecture = json.loads(self.architecture)
        lines = [
            f"# {allowed(self.name, 'page')}",
            "",
            f"A vision transformer for {allowed(self.data, 'page')}, int8, for an arena of "
            f"{self.arena_budget // 1024} KiB. Written by `mcuformer zoo train`; the figures "
            f"belong to the file of SHA-256 `{self.sha256[:16]}...`.",
            "",
            "| what | value |",
            "|---|---|",
            f"| float accuracy (tf_keras), {self.test_images:,} test images "
            f"| {self.float_top1:.2%} |",
            f"| int8 accuracy (TFLM) | {self.int8_top1:.2%} |",
            f"| agreement of the two | {self.agreement:.2%} |",
            f"| its teacher, a convolutional network in float | {self.teacher_top1:.2%} |",
            f"| arena in TFLM, Cortex-M (computed) | {self.arena_bytes:,} bytes |",
            f"| flash (.tflite) | {self.flash_bytes:,} bytes |",
            f"| multiply-accumulates | {self.macs:,} |",
            "",
            "The firmware, without an interpreter, emulated, since no board was at hand; "
            "milliseconds are an estimate from instructions, sizes are bytes:",
            "",
            f"| firmware | {' | '.join(allowed(board, 'page') for board in self.boards)} |",
            f"|---|{'---|' * len(self.boards)}",
        ]
        for what, tell in _FIRMWARE_FIGURES.items():
            cells = (tell(figures) for figures in self.boards.values())
            lines.append(f"| {what} | {' | '.join(cells)} |")
        lines += ["", "## Network", ""]
        lines += field_lines(architecture)
        supernet = self.recipe.get("supernet")
        start = "" if supernet is None else f", from the weights of the supernet {supernet}"
        lines += ["", "## Recipe", "", f"Seed {self.recipe['seed']}{allowed(start, 'page')}.", ""]
        lines += stretch_lines(self.recipe, ("teacher", "float_training", "quantized_training"))
        return "\n".join(lines) + "\n"


# Fields of ``card.json``, in its order.
_MODEL_FILE = (
    "name", "sha256", "data", "recipe", "architecture", "test_images", "float_top1", "int8_top1",
    "agreement", "teacher_top1", "macs", "arena_budget", "arena_bytes", "flash_bytes", "boards",
)  # fmt: skip
_BASELINE_FILE = (
    "name", "sha256", "data", "like", "network", "arena_budget", "test_images", "float_top1",
    "int8_top1", "agreement", "macs", "arena_bytes", "arena_bytes_host", "flash_bytes",
)  # fmt: skip
_FIRMWARE_FIGURES: dict[str, Callable[[BoardFigures], str]] = {
    "core": lambda figures: figures.core,
    "instructions an image": lambda figures: f"{figures.instructions:,}",
    "milliseconds an image": lambda figures: f"{figures.milliseconds_estimated:,.1f}",
    "code": lambda figures: f"{figures.code_bytes:,}",
    "constants": lambda figures: f"{figures.constant_bytes:,}",
    "arena of the firmware": lambda figures: f"{figures.arena_bytes:,}",
    "stack of one inference": lambda figures: f"{figures.stack_bytes:,}",
    "accuracy there": lambda figures: f"{figures.top1:.1%} of {figures.images}",
    "images with TFLM's bytes": lambda figures: f"{figures.equal} of {figures.images}",
}


def field_lines(fields: Mapping[str, Any]) -> list[str]:
    """Returns the lines of a page that list fields."""
    return [
        f"- `{allowed(name, 'identifier')}`: {allowed(str(value), 'page')}"
        for name, value in fields.items()
    ]


def stretch_lines(recipe: Mapping[str, Any], stretches: Sequence[str]) -> list[str]:
    """Returns the lines of a page that tell stretches of a recipe's training, options if set."""
    lines = []
    for stretch in stretches:
        fields = dict(recipe[stretch])
        options = {key: value for key, value in fields.pop("recipe").items() if value}
        parts = ", ".join(
            f"{allowed(key, 'page')} {allowed(str(value), 'page')}"
            for key, value in {**fields, **options}.items()
        )
        lines.append(f"- {stretch.replace('_', ' ')}: {parts}")
    return lines


def digest(model: bytes) -> str:
    """Returns the SHA-256 of a model, in hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()
