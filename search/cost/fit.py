"""How a network stands to the memory of a board."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_type
from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.search.board import Board, all_boards
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.instructions import is_counted
from mcuformer_tflm.search.cost.memory import eq5_bytes, flash_bytes
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.space import SearchSpace

Memory = Literal["arena", "eq5"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A budget, and which memory figure is held against it.

    Attributes:
        budget: Bytes of SRAM and flash, and milliseconds.
        memory: ``"arena"``: the predicted tensor arena. ``"eq5"``: the paper's Eq. 5, which
            stages weights in SRAM and is no arena; for comparison with the paper only.
    """

    budget: Budget
    memory: Memory = "arena"

    def __post_init__(self) -> None:
        """Checks both fields.

        Raises:
            ConfigError: If it is no budget, or there is no such figure.
        """
        checked_type("budget", self.budget, Budget)
        checked_choice("memory", self.memory, get_args(Memory))

    def __call__(self, architecture: Architecture) -> bool:
        """Whether a network fits."""
        if self.memory == "arena":
            return self.budget.fits(architecture)
        return self.margin(architecture) >= 0

    def memory_bytes(self, architecture: Architecture) -> int:
        """Returns the bytes of SRAM by the chosen figure."""
        if self.memory == "arena":
            return arena_bytes(architecture, quantization=self.budget.quantization)
        return eq5_bytes(architecture)

    def flash_bytes(self, architecture: Architecture) -> int:
        """Returns the bytes of the model file."""
        return flash_bytes(architecture, quantization=self.budget.quantization)

    @property
    def tells_time(self) -> bool:
        """Whether the budget has a board whose core and clock tell how long an inference takes."""
        board = self.budget.board
        if board is None or board.megahertz is None or not is_counted(board.core):
            return False
        return bool(board.external_bytes_per_second or not board.external_flash)

    def milliseconds(self, architecture: Architecture) -> float | None:
        """Returns the estimated time of an inference, limited or not; None where it is not told."""
        if not self.tells_time or self.budget.board is None:
            return None
        return estimate_cost(
            architecture, self.budget.board, quantization=self.budget.quantization
        ).milliseconds

    def margin(self, architecture: Architecture) -> float:
        """Returns the share of SRAM, flash or time, whichever is least, left; negative: none."""
        needed, budget = self.memory_bytes(architecture), self.budget
        divided = self.memory == "arena" and needed > budget.arena and budget.holds(architecture)
        sram = needed / (max(budget.sram, needed) if divided else budget.arena)
        flash = self.flash_bytes(architecture) / budget.flash if budget.flash else math.inf
        time = budget.time(architecture) / budget.milliseconds if budget.milliseconds else 0.0
        return 1 - max(sram, flash, time)

    def miss(self, architecture: Architecture) -> str:
        """Returns in words by how much a network is too large."""
        budget, size = self.budget, self.memory_bytes(architecture)
        name = "arena" if self.memory == "arena" else "memory (Eq. 5)"
        misses = []
        if size > budget.arena and not (self.memory == "arena" and budget.holds(architecture)):
            miss = f"{name} by {size - budget.arena:,} bytes ({size:,} of {budget.arena:,})"
            if self.memory == "arena" and budget.banks:
                banks = " + ".join(f"{bank:,}" for bank in budget.banks)
                over = size - budget.sram
                miss += (
                    f", by {over:,} even with {banks} in other banks"
                    if over > 0
                    else f", which no division over {banks} more in other banks makes up for"
                )
            misses.append(miss)
        flash = self.flash_bytes(architecture)
        if flash > budget.flash:
            misses.append(
                f"flash by {flash - budget.flash:,} bytes ({flash:,} of {budget.flash:,})"
            )
        if budget.milliseconds is not None and (time := budget.time(architecture)) > (
            budget.milliseconds
        ):
            misses.append(
                f"time by {time - budget.milliseconds:,.3g} ms (an estimated {time:,.4g} of "
                f"{budget.milliseconds:,g})"
            )
        return " and ".join(misses)

    def smallest_board(self, architecture: Architecture) -> Board | None:
        """Returns the known board of least SRAM, then flash, that holds a network in time."""
        limit, quantization = self.budget.milliseconds, self.budget.quantization
        # Of the others no time is known.
        boards = [
            board
            for board in all_boards()
            if limit is None or (board.megahertz is not None and is_counted(board.core))
        ]
        return min(
            (
                board
                for board in boards
                if Fit(
                    Budget.of_board(board, quantization=quantization, milliseconds=limit),
                    self.memory,
                )(architecture)
            ),
            key=lambda board: (board.sram, board.flash_budget),
            default=None,
        )

    def require(self, space: SearchSpace) -> None:
        """Checks that a space holds a network that fits.

        Raises:
            BudgetError: If it does not: names the nearest network and what it misses by.
        """
        checked_type("space", space, SearchSpace)
        # Every factor but patch and stem, which trade tokens for weights, is least in the smallest.
        smallest = [
            space.at(patch_size, space.rank_ratio[0], stem=stem).smallest()
            for patch_size in space.patch_size
            for stem in space.stems_of(patch_size)
        ]
        if any(map(self, smallest)):
            return
        nearest = max(smallest, key=self.margin)
        stem = "" if space.stem == ("patch",) else f", stem {nearest.stem}"
        board = self.smallest_board(nearest)
        larger = (
            f"The smallest known board that holds it is {board.name} ({board.sram:,} bytes of "
            f"SRAM, {board.flash_budget:,} of flash)."
            if board
            else "No known board holds it."
        )
        raise BudgetError(
            f"No subnet of this space fits {self.budget}. The nearest (patch_size "
            f"{nearest.patch_size}, rank_ratio {nearest.rank_ratio}, embed_dim "
            f"{nearest.embed_dim}, depth {nearest.depth}, num_heads {nearest.num_heads[0]}, "
            f"mlp_ratio {nearest.mlp_ratio[0]}{stem}) exceeds {self.miss(nearest)}. {larger} "
            "Choose a larger board, or give the space a larger patch_size or smaller values of "
            "the others."
        )
