"""What a campaign found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from mcuformer_tflm.keras_models.exceptions import ConfigError

Effort = Literal["short", "long"]
EFFORTS: tuple[Effort, ...] = ("short", "long")


@dataclasses.dataclass(frozen=True)
class CampaignResult:
    """How many faults were planted, and how many were borne as promised.

    Attributes:
        tried: Faults planted. None is refused: a campaign that tried nothing has shown nothing.
        survived: Those that ended as promised.
        lost: Those that did not. Where a fault is known to change nothing it may be in neither.
        details: A sentence for each that was lost, and whatever a reader must know beside the
            figures.
        figures: Other figures by name: value and unit.

    Raises:
        ConfigError: If the numbers do not fit one another.
    """

    tried: int
    survived: int
    lost: int
    details: tuple[str, ...] = ()
    figures: Mapping[str, tuple[float, str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tried < 1 or min(self.survived, self.lost) < 0:
            raise ConfigError(f"{self} tried nothing, or counts below nothing.")
        if self.survived + self.lost > self.tried:
            raise ConfigError(f"{self} tells the end of more than it tried.")


class Tally:
    """Counts a campaign's faults one by one.

    Attributes:
        details: Sentences to be told, of what was lost among others.
        figures: As of ``CampaignResult``.
    """

    def __init__(self) -> None:
        """Starts at nothing."""
        self._survived = self._lost = 0
        self.details: list[str] = []
        self.figures: dict[str, tuple[float, str]] = {}

    def count(self, what: str, problem: str | None, *, times: int = 1) -> None:
        """Counts a fault, or several that ended alike.

        Args:
            what: The fault, in a few words.
            problem: What was not as promised; None where all was.
            times: How many.
        """
        if problem is None:
            self._survived += times
        else:
            self._lost += times
            if times:
                self.details.append(f"{what}: {problem}")

    @property
    def tried(self) -> int:
        """How many were counted so far."""
        return self._survived + self._lost

    def result(self) -> CampaignResult:
        """Returns what was counted."""
        return CampaignResult(
            self.tried, self._survived, self._lost, tuple(self.details), self.figures
        )
