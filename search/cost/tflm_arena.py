"""TFLM's own bytes in the arena, computed from its structures for any width of pointers.

The structures are those of TFLM's micro_allocator, micro_allocation_info and
arena_allocator, as the supported wheel has them. With pointers of 8 bytes the result equals what
TFLM reports on this machine (a test compares them, byte for byte); with 4 it is what a Cortex-M
needs.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from mcuformer_tflm.keras_models.checked_values import checked_choice

PlannerName = Literal["mcuformer", "tflm"]
PLANNERS: tuple[PlannerName, ...] = get_args(PlannerName)

# Bytes of the record that each adapter keeps where pointers have 4 bytes (``NodeData`` in
# custom_ops/tflm/node.h; a test asks the compiler for Cortex-M). The others keep none.
STATE_BYTES = {
    "McuformerAdd": 44,
    "McuformerAttention": 80,
    "McuformerConvStem": 72,
    "McuformerFullyConnected": 56,
    "McuformerLayerNorm": 28,
    "McuformerMeanPool": 32,
    "McuformerMlp": 76,
    "McuformerPatchEmbed": 56,
    "McuformerTokenPool": 40,
}


@dataclasses.dataclass(frozen=True)
class BuiltinData:
    """What TFLM's reference kernel of a builtin operator keeps in the arena.

    Attributes:
        options: Bytes of its parsed options.
        options_alignment: Their alignment.
        state: Bytes of its record where pointers have 4 bytes.
        wide_state: The same in the wheel: pointers of 8 bytes, two fields for compression.
        per_channel: Whether it keeps a multiplier and a shift for each output channel; or does
            so where weights have a scale for each.
        scratch: Scratch buffers.
    """

    options: int
    options_alignment: int
    state: int
    wide_state: int
    per_channel: Literal["always", "by scales", "never"]
    scratch: int


# By the operator's number in TFLite's schema. For FULLY_CONNECTED the wheel takes 16 bytes more
# than its options have; they are counted on a Cortex-M too.
BUILTIN_DATA = {
    3: BuiltinData(28, 4, 56, 80, per_channel="always", scratch=0),  # CONV_2D
    4: BuiltinData(28, 4, 56, 80, per_channel="always", scratch=0),  # DEPTHWISE_CONV_2D
    9: BuiltinData(32, 4, 48, 72, per_channel="by scales", scratch=0),  # FULLY_CONNECTED
    40: BuiltinData(1, 1, 44, 44, per_channel="never", scratch=3),  # MEAN
}

_ALIGNMENT = 16
# TFLM keeps room for so many more requests of scratch while operators prepare.
_SPARE_REQUESTS = 12
# A buffer in TFLM's greedy planner: requirements of 16 bytes, a list entry of 12, three ints.
_GREEDY_BUFFER_BYTES = 40
# A scratch buffer in ours (custom_ops/tflm/arena_planner.h).
_OUR_SCRATCH_BYTES = 16


@dataclasses.dataclass(frozen=True)
class ArenaContent:
    """What TFLM keeps books of for one model.

    Attributes:
        head: Bytes of tensors and scratch in TFLM's arena.
        num_tensors: All tensors, constants included.
        states: Bytes that each operator keeps on a 32-bit machine; 0 for one without a record.
        num_planned: Tensors in the arena, and scratch buffers.
        num_scratch: Scratch buffers.
        num_outputs: Outputs of the model.
        builtin: (operator's data, channels that have multipliers of their own) of each builtin
            operator; those have 0 in ``states``.
    """

    head: int
    num_tensors: int
    states: tuple[int, ...]
    num_planned: int
    num_scratch: int
    _: dataclasses.KW_ONLY
    num_outputs: int = 1
    builtin: tuple[tuple[BuiltinData, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class ArenaBytes:
    """An arena's parts, in bytes.

    Attributes:
        head: Tensors and scratch.
        tail: TFLM's persistent data.
        total: The smallest arena that will do: head and tail, or more where TFLM needs more
            room than the head while it plans. A multiple of 16 when the arena starts at one.
    """

    head: int
    tail: int
    total: int


def tflm_arena(
    content: ArenaContent,
    pointer_bytes: int = 4,
    *,
    planner: PlannerName = "mcuformer",
    wheel: bool = False,
) -> ArenaBytes:
    """Computes the arena that TFLM needs for a model of one input.

    Args:
        content: What the model makes TFLM keep.
        pointer_bytes: 4 on a Cortex-M, 8 on this machine.
        planner: Our planner, which the application owns, or TFLM's greedy one, which lies in
            the arena.
        wheel: Whether TFLM is that of the wheel, which is built with tensor compression, and
            whose own interpreter records what it allocates.

    Raises:
        ConfigError: If ``pointer_bytes`` or ``planner`` is none of those.
    """
    checked_choice("pointer_bytes", pointer_bytes, (4, 8))
    checked_choice("planner", planner, PLANNERS)
    tail = _Tail(wide=pointer_bytes == 8)
    recording = wheel and planner == "tflm"
    tail.add(36, 96 if recording else 72)  # SingleArenaBufferAllocator
    if planner == "tflm":
        tail.add(44, 72)  # GreedyMemoryPlanner
    tail.add(36, 280 if recording else 72)  # MicroAllocator
    tail.add(8, 16)  # its allocator of builtin data
    tail.add(*((12, 24) if wheel else (8, 16)))  # SubgraphAllocations
    tail.add(12, 24, content.num_tensors)  # TfLiteEvalTensor
    tail.add(32, 64, len(content.states))  # NodeAndRegistration
    for data, _ in content.builtin:
        tail.add(data.options, data.options, alignment=data.options_alignment)
    for data, channels in content.builtin:
        tail.add(data.state, data.wide_state, alignment=_ALIGNMENT)
        for _ in ("multipliers", "shifts"):
            tail.add(4 * channels, 4 * channels, alignment=_ALIGNMENT)
    for state in content.states:
        if state:
            # Its first two fields are as wide as a pointer.
            tail.add(state, -(-(state + 8) // 8) * 8, alignment=_ALIGNMENT)
    if content.num_scratch:
        tail.add(4, 8, content.num_scratch)  # ScratchBufferHandle
    while_planning = tail.bytes
    for count in (1, content.num_outputs):
        tail.add(4, 8, count, alignment=_ALIGNMENT)  # TfLiteTensor*
        for _ in range(count):
            tail.add(40, 64)  # TfLiteTensor
            tail.add(12, 24)  # TfLiteAffineQuantization
            tail.add(8, 8, alignment=4)  # its zero points: their number, and one
    planning = _planning_bytes(content, pointer_bytes, planner)
    total = max(content.head + tail.bytes, planning + while_planning)
    return ArenaBytes(content.head, tail.bytes, -(-total // _ALIGNMENT) * _ALIGNMENT)


class _Tail:
    # Grows downwards from the arena's end, which is a multiple of 16.

    def __init__(self, wide: bool) -> None:
        self.bytes = 0
        self._wide = wide

    def add(self, size: int, wide_size: int, count: int = 1, alignment: int | None = None) -> None:
        alignment = alignment or (8 if self._wide else 4)
        end = self.bytes + count * (wide_size if self._wide else size)
        self.bytes = -(-end // alignment) * alignment


def _planning_bytes(content: ArenaContent, pointer_bytes: int, planner: PlannerName) -> int:
    request = pointer_bytes + 8
    info = 2 * pointer_bytes + 16
    requests = request * (content.num_scratch + _SPARE_REQUESTS)
    # One offset a subgraph, then a record a tensor and a scratch buffer, each aligned.
    infos = pointer_bytes + info * (content.num_tensors + content.num_scratch)
    start = -(-(requests + infos) // _ALIGNMENT) * _ALIGNMENT
    if planner == "tflm":
        return start + _GREEDY_BUFFER_BYTES * content.num_planned
    return start + _OUR_SCRATCH_BYTES * content.num_scratch
