"""A network as a table: shapes, parameters, memory, flash and instructions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.table import Table

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, head_bytes, live_bytes
from mcuformer_tflm.search.cost.instructions import block_loops, outer_loops, total_instructions
from mcuformer_tflm.search.cost.memory import (
    eq5_bytes,
    flash_bytes,
    fully_connected_shapes,
    num_macs,
    num_parameters,
)
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.stem import convolutions

# Layers that one operator computes together.
_OPERATORS = {"qkv": "attention", "projection": "projection", "fc": "mlp"}
_OPERATOR_OF = re.compile(r"(qkv|projection|fc)\w*$")


def summary(
    architecture: Architecture,
    quantization: QuantizationConfig = INT8,
    *,
    board: Board | str = "stm32f746",
) -> Table:
    """Returns one row an operator: live bytes in the arena, weights in flash, instructions.

    Args:
        architecture: The network.
        quantization: Of the network.
        board: Whose core and clock instructions and milliseconds are estimated for.

    Returns:
        A table for ``rich.print``; its caption has the sums.

    Raises:
        ConfigError: If an argument is none of those, or instructions were counted on no core like
            the board's.
    """
    board = get_board(board)
    checked_type("quantization", quantization, QuantizationConfig)
    arch = architecture
    weights: dict[str, int] = {}
    for name, units, width in fully_connected_shapes(arch):
        operator = _OPERATOR_OF.sub(lambda match: _OPERATORS[match[1]], name)
        bits = 8 if name == "head" else quantization.weight_bits
        weights[operator] = weights.get(operator, 0) + units * width * bits // 8
    weights[arch.stem_name] = sum(part.units * part.width for part in convolutions(arch))
    table = Table(title=f"{arch.sequence_length} tokens of {arch.embed_dim}, {arch.depth} blocks")
    table.add_column("operator")
    table.add_column("live bytes", justify="right")
    table.add_column("weight bytes (flash)", justify="right")
    table.add_column("instructions (estimate)", justify="right")
    operators = _operators(arch, quantization, board.core)
    for (name, live), instructions in zip(
        live_bytes(arch, quantization=quantization), operators, strict=True
    ):
        weight = f"{weights[name]:,}" if name in weights else ""
        table.add_row(name, f"{live:,}", weight, f"{instructions:,.0f}")
    head, arena, flash = (
        size(arch, quantization=quantization) for size in (head_bytes, arena_bytes, flash_bytes)
    )
    table.caption = (
        f"{num_parameters(arch):,} parameters, {num_macs(arch):,} MACs; predicted: head "
        f"{head:,}, arena in TFLM, Cortex-M {arena:,}, flash {flash:,} bytes; Eq. 5 of the paper "
        f"{eq5_bytes(arch):,}; on {board.name} "
        f"{estimate_cost(arch, board, quantization=quantization).text}"
    )
    return table


def _operators(arch: Architecture, quantization: QuantizationConfig, core: str) -> Iterator[float]:
    # Instructions of each, in the order of ``live_bytes``.
    _, first, *last = outer_loops(arch, quantization=quantization)
    blocks = [
        loops
        for block in range(arch.depth)
        for loops in block_loops(arch, block, quantization=quantization)
    ]
    for loops in (first, *blocks, *last):
        yield total_instructions([loops], core)
