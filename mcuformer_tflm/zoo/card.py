"""What a shipped model is, was made from, and measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ModelError


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
    """Figures of one model; shares are 0 to 1, sizes are bytes.

    Attributes:
        name: The model's name.
        sha256: Of the ``.tflite`` that the figures belong to.
        data: The data set.
        recipe: The recipe's fields.
        architecture: The network, as JSON.
        test_images: Number of images behind the accuracies.
        float_top1: Accuracy of the float network (tf_keras).
        int8_top1: Accuracy of the int8 model in TFLM.
        agreement: Share of images on which the two choose the same class.
        teacher_top1: Accuracy of the teacher that it followed.
        macs: Multiply-accumulates of one inference.
        arena_budget: The arena that the recipe allows.
        arena_bytes: TFLM's arena on a Cortex-M under our planner, computed.
        flash_bytes: Size of the ``.tflite``.
        boards: Figures by board.
    """

    name: str
    sha256: str
    data: str
    recipe: Mapping[str, Any]
    architecture: str
    test_images: int
    float_top1: float
    int8_top1: float
    agreement: float
    teacher_top1: float
    macs: int
    arena_budget: int
    arena_bytes: int
    flash_bytes: int
    boards: Mapping[str, BoardFigures]

    @classmethod
    def read(cls, path: AnyPath) -> ModelCard:
        """Reads a card that ``write`` has written.

        Raises:
            ModelError: If the file is missing, damaged, or no card.
        """
        path = checked_path("path", path)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["boards"] = {
                board: BoardFigures(**figures) for board, figures in fields["boards"].items()
            }
            return cls(**fields)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{path} is no model card ({error}).") from error

    def write(self, folder: AnyPath) -> None:
        """Writes ``card.json``, and ``card.md`` for people."""
        folder = checked_path("folder", folder)
        text = json.dumps(dataclasses.asdict(self), indent=1)
        (folder / "card.json").write_text(text + "\n", encoding="utf-8")
        (folder / "card.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Returns the card as a page."""
        architecture = json.loads(self.architecture)
        lines = [
            f"# {self.name}",
            "",
            f"A vision transformer for {self.data}, int8, for an arena of "
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
            f"| firmware | {' | '.join(self.boards)} |",
            f"|---|{'---|' * len(self.boards)}",
        ]
        for what, tell in _FIRMWARE_FIGURES.items():
            cells = (tell(figures) for figures in self.boards.values())
            lines.append(f"| {what} | {' | '.join(cells)} |")
        lines += ["", "## Network", ""]
        lines += [f"- `{field}`: {value}" for field, value in architecture.items()]
        lines += ["", "## Recipe", "", f"Seed {self.recipe['seed']}.", ""]
        for stretch in ("teacher", "float_training", "quantized_training"):
            fields = dict(self.recipe[stretch])
            options = {key: value for key, value in fields.pop("recipe").items() if value}
            told = ", ".join(f"{key} {value}" for key, value in {**fields, **options}.items())
            lines.append(f"- {stretch.replace('_', ' ')}: {told}")
        return "\n".join(lines) + "\n"


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


def digest(model: bytes) -> str:
    """Returns the SHA-256 of a model, in hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()
