"""What a shipped supernet is, was made from, and measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_kinds, checked_path
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.untrusted_files import DAMAGED, read_text
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.zoo.card import field_lines, stretch_lines


@dataclasses.dataclass(frozen=True)
class SupernetCard:
    """Figures of one supernet; accuracies are shares of held-out images, without training on.

    Attributes:
        name: The supernet's name.
        sha256: Of the file that the figures belong to.
        data: The data set.
        recipe: The recipe's fields.
        subnets: Number of networks in the space.
        file_bytes: Size of the file.
        held_out: Number of images that neither it nor its teacher has seen.
        teacher_top1: Accuracy of the teacher on them.
        largest_top1: That of the largest subnet.
        smallest_top1: That of the smallest.
        random_top1: Mean of random subnets.
        random_subnets: How many.
        arena_bytes: Least and largest arena of a subnet in TFLM on a Cortex-M, predicted.
        flash_bytes: Least and largest model file, predicted.
    """

    name: str
    sha256: str
    data: str
    recipe: Mapping[str, Any]
    subnets: int
    file_bytes: int
    held_out: int
    teacher_top1: float
    largest_top1: float
    smallest_top1: float
    random_top1: float
    random_subnets: int
    arena_bytes: tuple[int, int]
    flash_bytes: tuple[int, int]

    @classmethod
    def read(cls, path: AnyPath) -> SupernetCard:
        """Reads a card that ``write`` has written.

        Raises:
            ModelError: If the file is missing, damaged, or no card.
        """
        path = checked_path("path", path)
        try:
            fields = json.loads(read_text(path))
            for name in ("arena_bytes", "flash_bytes"):
                least, largest = fields[name]
                fields[name] = (least, largest)
            card = checked_kinds(cls(**fields))
            card.markdown()  # which needs what a recipe has, and pairs of numbers
            return card
        except DAMAGED as error:
            raise ModelError(f"{path} is no supernet's card ({error}).") from error

    def write(self, folder: AnyPath) -> None:
        """Writes ``card.json`` and ``card.md``."""
        folder = checked_path("folder", folder)
        text = json.dumps(dataclasses.asdict(self), indent=1)
        write_whole(folder / "card.json", text + "\n")
        write_whole(folder / "card.md", self.markdown())

    def markdown(self) -> str:
        """Returns the card as a page."""
        arena, flash = (
            f"{least:,} to {largest:,} bytes"
            for least, largest in (self.arena_bytes, self.flash_bytes)
        )
        lines = [
            f"# {allowed(self.name, 'page')}, a supernet",
            "",
            f"Trained on {allowed(self.data, 'page')}, all but {self.held_out:,} of the training "
            "images, which neither it nor its teacher has seen. Accuracies are on those, in float "
            "with the supernet's weights, nothing trained on.",
            "",
            "| | |",
            "|---|---|",
            f"| networks | {self.subnets:,} |",
            f"| largest | {self.largest_top1:.2%} |",
            f"| mean of {self.random_subnets} random ones | {self.random_top1:.2%} |",
            f"| smallest | {self.smallest_top1:.2%} |",
            f"| teacher | {self.teacher_top1:.2%} |",
            f"| arena in TFLM, Cortex-M (predicted) | {arena} |",
            f"| flash (.tflite, predicted) | {flash} |",
            f"| file | {self.file_bytes:,} bytes |",
            "",
            "## Space",
            "",
            *field_lines(self.recipe["space"]),
            "",
            "## Recipe",
            "",
            f"Seed {self.recipe['seed']}, a teacher of width {self.recipe['teacher_width']}.",
            "",
            *stretch_lines(self.recipe, ("teacher", "training")),
        ]
        return "\n".join(lines) + "\n"
