"""How long one inference takes on a board, before a network exists: an estimate.

Cycles at the board's clock, and the bytes that are read from external flash (``flash_reads.py``) at
its speed, nothing cached and nothing overlapped. Cycles are those of llvm-mca's model of the core
(``instructions.py``), or instructions times the cycles of one that were measured on the board.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.flash_reads import external_flash_reads
from mcuformer_tflm.search.cost.instructions import (
    network_loops,
    total_cycles,
    total_instructions,
)
from mcuformer_tflm.search.cost.operator_loops import OperatorLoops


@dataclasses.dataclass(frozen=True)
class CostEstimate:
    """What one inference is estimated to take on a board.

    Attributes:
        instructions: Instructions of the firmware.
        external_bytes: Bytes that it reads from external flash.
        cycles_per_instruction: Cycles of an instruction, on average.
        milliseconds: Both at the board's clock and its flash's speed; None where one of those that
            count is not known.
    """

    instructions: int
    external_bytes: int
    cycles_per_instruction: float
    milliseconds: float | None

    @property
    def text(self) -> str:
        """The estimate in words."""
        told = f"{self.instructions:,} instructions"
        if self.external_bytes:
            told += f" and {self.external_bytes:,} bytes read from external flash"
        if self.milliseconds is not None:
            told += f", {self.milliseconds:,.1f} ms"
        return f"{told} (estimates)"


def estimate_cost(
    architecture: Architecture,
    board: Board | str,
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
    kept: Collection[int] = (),
    block_tokens: int = BLOCK_TOKENS,
) -> CostEstimate:
    """Returns what one inference of a network is estimated to take on a board.

    Args:
        architecture: The network, which need not exist yet.
        board: The board, its name, or the path of its file.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.
        kept: Blocks that keep their normalised tokens (``convert``'s schedule).
        block_tokens: Tokens that one pass over a block's weights serves.

    Raises:
        ConfigError: If instructions were counted on no core like the board's, or an argument is
            none of those.
    """
    board = get_board(board)
    options: dict[str, Any] = {
        "image": image, "quantization": quantization, "kept": kept, "block_tokens": block_tokens,
    }  # fmt: skip
    loops = network_loops(architecture, **options)
    return board_estimate(board, loops, external_flash_reads(architecture, board, **options))


def board_estimate(
    board: Board, loops: Sequence[OperatorLoops], external_bytes: int
) -> CostEstimate:
    """Returns the estimate for operators that read so many bytes from external flash.

    Args:
        board: The board.
        loops: Of the operators, and of the copies around them.
        external_bytes: Of one inference.

    Raises:
        ConfigError: If instructions were counted on no core like the board's, or of no such
            operator.
    """
    instructions = round(total_instructions(loops, board.core))
    cycles = board_cycles(board, instructions, total_cycles(loops, board.core))
    known = board.megahertz is not None and (board.external_bytes_per_second or not external_bytes)
    time = milliseconds(board, cycles, external_bytes) if known else None
    return CostEstimate(instructions, external_bytes, cycles / instructions, time)


def board_cycles(board: Board, instructions: Any, cycles: Any) -> Any:
    """Returns the cycles of a number or array of instructions: as measured on a board, or given.

    Args:
        board: The board.
        instructions: Of one inference.
        cycles: Those that llvm-mca's model of the core has for them.
    """
    measured = board.cycles_per_instruction
    return cycles if measured is None else measured * instructions


def milliseconds(board: Board, cycles: Any, external_bytes: Any) -> Any:
    """Returns the time of numbers or arrays of cycles and of bytes from external flash.

    Raises:
        ConfigError: If the board's clock is not known.
    """
    if board.megahertz is None:
        raise ConfigError(
            f"board is {board.name}, whose megahertz are not known; time cannot be told."
        )
    time = cycles / (1000 * board.megahertz)
    if board.external_bytes_per_second:
        time = time + 1000 * external_bytes / board.external_bytes_per_second
    return time
