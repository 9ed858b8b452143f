"""Whether a subnet fits a board."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.activation_memory import arena_bytes
from mcuformer_tflm.search.board import Board
from mcuformer_tflm.search.memory import flash_bytes


@dataclasses.dataclass(frozen=True)
class Budget:
    """Bytes that a model may take.

    Attributes:
        arena: Bytes of tensor arena.
        flash: Bytes of the model file.
        name: What the budget is called in messages.
    """

    arena: int
    flash: int
    name: str

    @classmethod
    def of_board(cls, board: Board, arena: int | None = None) -> Budget:
        """Returns a board's budget, its arena limited further where ``arena`` is given."""
        limit = board.arena_budget if arena is None else min(arena, board.arena_budget)
        return cls(limit, board.flash_budget, board.name)

    def fits(self, architecture: Architecture) -> bool:
        """Whether the predicted arena and flash of a network lie within the budget."""
        return arena_bytes(architecture) <= self.arena and flash_bytes(architecture) <= self.flash

    def __str__(self) -> str:
        return f"{self.name} ({self.arena:,} bytes of arena, {self.flash:,} bytes of flash)"
