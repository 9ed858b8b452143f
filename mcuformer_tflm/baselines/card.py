"""What a baseline is, and what was measured of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ModelError


@dataclasses.dataclass(frozen=True)
class BaselineCard:
    """Figures of one baseline; shares are 0 to 1, sizes are bytes.

    Attributes:
        name: The baseline's name.
        sha256: Of the ``.tflite`` that the figures belong to.
        data: The data set.
        like: Name of the recipe of the zoo that trained it.
        network: Its kind and fields.
        arena_budget: The arena that the recipe allows.
        test_images: Number of images behind the accuracies.
        float_top1: Accuracy of the float network (tf_keras).
        int8_top1: Accuracy of the int8 model in TFLM.
        agreement: Share of images on which the two choose the same class.
        macs: Multiply-accumulates of one inference.
        arena_bytes: TFLM's arena on a Cortex-M, computed.
        arena_bytes_host: What TFLM takes on this machine, 64-bit.
        flash_bytes: Size of the ``.tflite``.
    """

    name: str
    sha256: str
    data: str
    like: str
    network: Mapping[str, Any]
    arena_budget: int
    test_images: int
    float_top1: float
    int8_top1: float
    agreement: float
    macs: int
    arena_bytes: int
    arena_bytes_host: int
    flash_bytes: int

    @classmethod
    def read(cls, path: AnyPath) -> BaselineCard:
        """Reads a card that ``write`` has written.

        Raises:
            ModelError: If the file is missing, damaged, or no card.
        """
        path = checked_path("path", path)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{path} is no card of a baseline ({error}).") from error

    def write(self, path: AnyPath) -> None:
        """Writes the card as JSON."""
        path = checked_path("path", path)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")
