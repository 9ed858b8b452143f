"""A network as a table: shapes, parameters, memory and flash."""

from __future__ import annotations

import re

from rich.table import Table

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost.activation_memory import arena_bytes, head_bytes, live_bytes
from mcuformer_tflm.search.cost.memory import (
    eq5_bytes,
    flash_bytes,
    fully_connected_shapes,
    num_macs,
    num_parameters,
)
from mcuformer_tflm.search.cost.stem import convolutions

# Layers that one operator computes together.
_OPERATORS = {"qkv": "attention", "projection": "projection", "fc": "mlp"}
_OPERATOR_OF = re.compile(r"(qkv|projection|fc)\w*$")


def summary(architecture: Architecture, quantization: QuantizationConfig = INT8) -> Table:
    """Returns one row an operator: bytes alive in the arena, bytes of weights in flash.

    Args:
        architecture: The network.
        quantization: Of the network.

    Returns:
        A table for ``rich.print``; its caption has the sums.

    Raises:
        ConfigError: If an argument is none of those.
    """
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
    for name, live in live_bytes(arch, quantization=quantization):
        weight = f"{weights[name]:,}" if name in weights else ""
        table.add_row(name, f"{live:,}", weight)
    head, arena, flash = (
        size(arch, quantization=quantization) for size in (head_bytes, arena_bytes, flash_bytes)
    )
    table.caption = (
        f"{num_parameters(arch):,} parameters, {num_macs(arch):,} MACs; predicted: head "
        f"{head:,}, arena in TFLM, Cortex-M {arena:,}, flash {flash:,} bytes; Eq. 5 of the paper "
        f"{eq5_bytes(arch):,}"
    )
    return table
