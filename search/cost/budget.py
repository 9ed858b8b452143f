"""Whether a subnet fits a board."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, get_args

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    AnyPath,
    checked_choice,
    checked_real,
    checked_type,
    checked_whole,
    entries,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.activation_memory import (
    Image,
    arena_bytes,
    arena_content,
    fits_regions,
)
from mcuformer_tflm.search.cost.instructions import core_costs
from mcuformer_tflm.search.cost.memory import code_bytes, flash_bytes
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena

_ALIGNMENT = 16


@dataclasses.dataclass(frozen=True)
class Budget:
    """Bytes that a model may take, and time.

    Attributes:
        arena: Bytes of SRAM in one region, where TFLM's arena lies.
        flash: Bytes of the model file.
        name: What the budget is called in messages.
        banks: Bytes of further regions of SRAM, which a plan over all of them may use where the
            first alone is too small.
        quantization: How networks will be quantized; their bytes depend on it.
        milliseconds: What one inference may take by ``estimate_cost``; None sets no limit.
        board: Whose memories they are, where they are a board's, and whose core and clock count for
            estimates; needed with ``milliseconds``.
    """

    arena: int
    flash: int
    name: str
    _: dataclasses.KW_ONLY
    banks: tuple[int, ...] = ()
    quantization: QuantizationConfig = INT8
    milliseconds: float | None = None
    board: Board | None = None

    def __post_init__(self) -> None:
        """Checks what the memory model relies on.

        Raises:
            ConfigError: If a field is no such value, bytes are negative, or the time of an
                inference cannot be told.
        """
        for field in ("arena", "flash"):
            object.__setattr__(self, field, checked_whole(field, getattr(self, field), least=0))
        checked_type("name", self.name, str)
        banks = entries(self.banks)
        if banks is None:
            raise ConfigError(f"banks is {shown(self.banks)}; it must be a tuple of bytes.")
        banks = tuple(checked_whole("banks", size, least=0) for size in banks)
        object.__setattr__(self, "banks", banks)
        checked_type("quantization", self.quantization, QuantizationConfig)
        if self.milliseconds is not None:
            limit = checked_real("milliseconds", self.milliseconds, open_below=True)
            object.__setattr__(self, "milliseconds", limit)
            self._check_clock()
        if self.board is not None:
            checked_type("board", self.board, Board)

    def _check_clock(self) -> None:
        if self.board is None:
            raise ConfigError(
                f"milliseconds is {self.milliseconds}, but there is no board, whose clock would "
                "tell them. Use Budget.of_board, or give board."
            )
        board = checked_type("board", self.board, Board)
        if board.megahertz is None:
            raise ConfigError(
                f"milliseconds is {self.milliseconds}, but megahertz of board {board.name} are not "
                "known; give the board its clock."
            )
        core_costs(board.core)

    @classmethod
    def of_board(
        cls,
        board: Board | AnyPath,
        arena: int | None = None,
        *,
        flash: int | None = None,
        quantization: QuantizationConfig = INT8,
        milliseconds: float | None = None,
    ) -> Budget:
        """Returns a board's budget: all its SRAM, and its flash less our operators' code.

        Args:
            board: The board, its name, or its TOML file (docs/own-board.md).
            arena: Limits the SRAM further, its regions in order, in bytes.
            flash: Limits the model file further, in bytes.
            quantization: How networks will be quantized.
            milliseconds: What one inference may take, by ``estimate_cost``.

        Raises:
            ConfigError: If there is no such board, ``arena`` or ``flash`` is no number of bytes, or
                time is limited on a board whose clock is not known.
        """
        board = get_board(board)
        left = board.sram if arena is None else checked_whole("arena", arena, least=0)
        regions = []
        for region in board.sram_regions:
            regions.append(min(region.size, left))
            left -= regions[-1]
        first, *others = regions
        free = max(0, board.flash_budget - code_bytes(board.core))
        if flash is not None:
            free = min(free, checked_whole("flash", flash, least=0))
        banks = tuple(size for size in others if size > 0)
        return cls(
            first, free, board.name, banks=banks, quantization=quantization,
            milliseconds=milliseconds, board=board,
        )  # fmt: skip

    @property
    def sram(self) -> int:
        """Bytes of all regions together."""
        return self.arena + sum(self.banks)

    def fits(self, architecture: Architecture, image: Image = "whole") -> bool:
        """Whether the predicted arena, flash and time of a network lie within the budget.

        Args:
            architecture: The network.
            image: Whether the arena holds the image or a strip of it.
        """
        flash = flash_bytes(architecture, quantization=self.quantization)
        if flash > self.flash or not self.holds(architecture, image):
            return False
        return self.milliseconds is None or self.time(architecture, image) <= self.milliseconds

    def time(self, architecture: Architecture, image: Image = "whole") -> float:
        """Returns the estimated milliseconds of an inference; 0 where they are not limited.

        Args:
            architecture: The network.
            image: Whether the arena holds the image or a strip of it.

        Raises:
            ConfigError: If an argument is none of those.
        """
        checked_choice("image", image, get_args(Image))
        if self.milliseconds is None or self.board is None:
            return 0.0
        estimate = estimate_cost(
            architecture, self.board, image=image, quantization=self.quantization
        )
        return math.inf if estimate.milliseconds is None else estimate.milliseconds

    @property
    def limits(self) -> dict[str, Any]:
        """What decides whether a network fits, as JSON has it; time only where it is limited."""
        fields = self.timed_limits
        if self.milliseconds is None:
            del fields["milliseconds"], fields["board"]
        return fields

    @property
    def timed_limits(self) -> dict[str, Any]:
        """``limits``, and the board that tells time, limited or not."""
        fields = dataclasses.asdict(self)
        del fields["name"]
        found: dict[str, Any] = json.loads(json.dumps(fields))
        return found

    def holds(self, architecture: Architecture, image: Image = "whole") -> bool:
        """Whether SRAM is enough: the first region alone, or a plan over all of them."""
        if arena_bytes(architecture, image, quantization=self.quantization) <= self.arena:
            return True
        if not self.banks:
            return False
        # TFLM's own data lie in the first region, wherever the plan has its buffers.
        own = tflm_arena(arena_content(architecture, 0))
        free = self.arena // _ALIGNMENT * _ALIGNMENT - own.tail
        regions = (free, *self.banks)
        return own.total <= self.arena and fits_regions(
            architecture, regions, image=image, quantization=self.quantization
        )

    def __str__(self) -> str:
        sram = " + ".join(f"{size:,}" for size in (self.arena, *self.banks))
        time = "" if self.milliseconds is None else f", {self.milliseconds:,g} ms an inference"
        return f"{self.name} ({sram} bytes of arena, {self.flash:,} bytes of flash{time})"
