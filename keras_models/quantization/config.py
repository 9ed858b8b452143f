"""How a network is quantized."""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.custom_ops.reference.integer_sqrt import MAX_ITERATIONS
from mcuformer_tflm.keras_models.checked_values import checked_choice

_ALLOWED = {
    "weight_bits": (4, 8),
    "residual_bits": (8, 16),
    "layer_norm_iterations": range(MAX_ITERATIONS + 1),
    "integer_operators": (False, True),
}


@dataclasses.dataclass(frozen=True)
class QuantizationConfig:
    """Widths of the integers, and how much of their arithmetic is simulated in training.

    Attributes:
        weight_bits: Bits of a weight of the blocks' matrices, 4 or 8; one scale an output
            channel. The patch embedding, whose kernel has no 4-bit form, and the head keep 8.
        residual_bits: Bits of the residual stream, 8 or 16: of what the patch embedding, each
            projection and each MLP give. What a normalisation makes of it is int8.
        layer_norm_iterations: Steps of Newton's method for the root in LayerNorm (paper,
            algorithm 1), 0 to 16; 0 goes on until it is fixed.
        integer_operators: Whether the layers compute as the kernels do, to the last bit.
            Without it they round to the same steps, but compute in floating point between:
            faster, and a little off.
    """

    weight_bits: int = 8
    residual_bits: int = 8
    _: dataclasses.KW_ONLY
    layer_norm_iterations: int = 4
    integer_operators: bool = True

    def __post_init__(self) -> None:
        """Checks every field, and keeps its numbers as Python's.

        Raises:
            ConfigError: If a field has a value that is not allowed.
        """
        for field, allowed in _ALLOWED.items():
            chosen = checked_choice(field, getattr(self, field), allowed)
            object.__setattr__(self, field, chosen)

    def of_head(self) -> QuantizationConfig:
        """Returns how a layer is quantized that gives logits, or another output of the network.

        Its few weights decide alone: 4 bits would cost much to save little.
        """
        return dataclasses.replace(self, weight_bits=8)


# What everything is unless it is told otherwise.
INT8 = QuantizationConfig()
