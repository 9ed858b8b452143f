"""How much arena a task's model is converted for."""

from __future__ import annotations

from mcuformer_tflm.firmware.fit import RAM_RESERVE
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.memory import code_bytes, flash_bytes

# Constants that happen to be equal share a tensor, which takes some bytes of arena more.
_SHARED_CONSTANTS = 64


def arena_to_spend(budget: Budget, architecture: Architecture) -> int | None:
    """Returns the ``arena_budget`` of ``convert`` for a network, or None for the least arena.

    Arena beyond the least makes weights be read rarely, which helps where they do not fit the
    microcontroller's own flash: then a model may take its region of SRAM but for the stack.

    Args:
        budget: What the model may take.
        architecture: The network.
    """
    board, quantization = budget.board, budget.quantization
    if board is None or not board.external_flash:
        return None
    inside = board.flash - code_bytes(board.core)
    if flash_bytes(architecture, quantization=quantization) <= inside:
        return None
    room = budget.arena - RAM_RESERVE
    least = arena_bytes(architecture, quantization=quantization) + _SHARED_CONSTANTS
    return room if least <= room else None
