"""A memory plan: which bytes of the arena each buffer has, and when."""

from __future__ import annotations

import dataclasses

import numpy as np

METADATA_NAME = "OfflineMemoryAllocation"
ALIGNMENT = 16


@dataclasses.dataclass(frozen=True)
class PlannedBuffer:
    """A buffer in the arena's head.

    Attributes:
        name: Tensor's name, or ``<operator's output>/scratch``.
        offset: Bytes from the start of the arena.
        size: Bytes, rounded up to 16.
        first_operator: Index of the operator that writes it; -1 for the model's input.
        last_operator: Index of the last operator that reads it.
        tensor: Index of the tensor, or None for scratch.
        overwrites: Index of the tensor in whose place it starts, or None.
    """

    name: str
    offset: int
    size: int
    first_operator: int
    last_operator: int
    tensor: int | None
    overwrites: int | None = None


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies.

    Attributes:
        buffers: Tensors in the file's order, then scratch in the order of the operators.
        num_tensors: Number of all tensors of the model, constants included.
        lower_bound: Largest sum of live bytes at any operator; no plan can be smaller.
    """

    buffers: tuple[PlannedBuffer, ...]
    num_tensors: int
    lower_bound: int

    @property
    def head_bytes(self) -> int:
        """Bytes from the arena's start to the end of the last buffer."""
        return max((buffer.offset + buffer.size for buffer in self.buffers), default=0)

    def to_metadata(self) -> bytes:
        """Returns the plan as TFLM reads it (``OfflineMemoryAllocation``).

        int32: version 1, one subgraph, the number of all tensors, then an offset for each;
        -1 leaves a tensor to TFLM's own planner.
        """
        offsets = np.full(self.num_tensors, -1, np.int32)
        for buffer in self.buffers:
            if buffer.tensor is not None:
                offsets[buffer.tensor] = buffer.offset
        return np.concatenate([[1, 0, self.num_tensors], offsets]).astype("<i4").tobytes()
