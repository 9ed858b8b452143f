"""A memory plan: which bytes of the arena each buffer has, and when."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError

METADATA_NAME = "OfflineMemoryAllocation"
RECORD_NAME = "McuformerMemoryPlan"
ALIGNMENT = 16
ONLINE = -1

_MAGIC = 0x4E4C504D  # "MPLN"
_VERSION = 1
# magic, version, number of buffers, number of tensors among them, number of regions; then the
# CRC-32 of all other bytes
_HEADER = struct.Struct("<IHHHH")
_CHECKSUM = struct.Struct("<I")
# size, offset, first operator + 1, last operator + 1, index of the buffer that is overwritten
# or 0xFFFF, region, walk
_ENTRY = struct.Struct("<iiHHHBB")
_WALKS = (None, "ascending", "descending")
_NONE = 0xFFFF


@dataclasses.dataclass(frozen=True)
class PlannedBuffer:
    """A buffer in the arena's head.

    Attributes:
        name: Tensor's name, or ``<operator's output>/scratch``.
        offset: Bytes from the start of its region.
        size: Bytes, rounded up to 16.
        first_operator: Index of the operator that writes it; -1 for the model's input.
        last_operator: Index of the last operator that reads it.
        tensor: Index of the tensor, or None for scratch.
        overwrites: Index of the tensor in whose place it starts, or None.
        walk: Order in which its operator goes over what it overwrites, or None.
        region: Index of the region of SRAM; 0 is where TFLM's arena starts.
    """

    name: str
    offset: int
    size: int
    first_operator: int
    last_operator: int
    tensor: int | None
    _: dataclasses.KW_ONLY
    overwrites: int | None = None
    walk: str | None = None
    region: int = 0

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies.

    Attributes:
        buffers: Tensors in the file's order, then scratch in the order of the operators.
        num_tensors: Number of all tensors of the model, constants included.
        lower_bound: Largest sum of live bytes at any operator; no plan can be smaller.
        greedy_head_bytes: Bytes of head that TFLM's own greedy planner takes for the same
            file: tensors where this plan has them, scratch (and tensors outside the first
            region) where it finds room.
    """

    buffers: tuple[PlannedBuffer, ...]
    num_tensors: int
    lower_bound: int
    greedy_head_bytes: int

    @property
    def head_bytes(self) -> int:
        """Bytes of the first region, from the arena's start to the end of the last buffer."""
        return self.region_bytes(0)

    @property
    def num_regions(self) -> int:
        """Number of regions of SRAM that hold buffers."""
        return 1 + max((buffer.region for buffer in self.buffers), default=0)

    @property
    def gap_percent(self) -> float:
        """Bytes above the lower bound, in percent of it."""
        used = sum(self.region_bytes(region) for region in range(self.num_regions))
        return 100 * (used - self.lower_bound) / self.lower_bound if self.lower_bound else 0.0

    def region_bytes(self, region: int) -> int:
        """Returns the bytes that one region of SRAM holds."""
        return max((b.end for b in self.buffers if b.region == region), default=0)

    def to_metadata(self) -> bytes:
        """Returns the plan as TFLM reads it (``OfflineMemoryAllocation``).

        int32: version 1, one subgraph, the number of all tensors, then an offset for each;
        -1 leaves a tensor to TFLM's own planner. Tensors outside the first region are such.
        """
        offsets = np.full(self.num_tensors, ONLINE, np.int32)
        for buffer in self.buffers:
            if buffer.tensor is not None and buffer.region == 0:
                offsets[buffer.tensor] = buffer.offset
        return np.concatenate([[1, 0, self.num_tensors], offsets]).astype("<i4").tobytes()

    def to_record(self) -> bytes:
        """Returns the plan as our C++ planner reads it (``custom_ops/tflm/arena_planner.h``).

        Beside the offsets it holds what the planner checks them with: sizes, lifetimes,
        permissions to overwrite, regions, scratch, and a checksum.
        """
        index_of = {b.tensor: i for i, b in enumerate(self.buffers) if b.tensor is not None}
        body = b"".join(
            _ENTRY.pack(
                b.size,
                b.offset,
                b.first_operator + 1,
                b.last_operator + 1,
                _NONE if b.overwrites is None else index_of[b.overwrites],
                b.region,
                _WALKS.index(b.walk),
            )
            for b in self.buffers
        )
        header = _HEADER.pack(_MAGIC, _VERSION, len(self.buffers), len(index_of), self.num_regions)
        return header + _CHECKSUM.pack(zlib.crc32(header + body)) + body


def read_places(record: bytes) -> list[tuple[int, int, int]]:
    """Returns (size, offset, region) of each buffer of ``MemoryPlan.to_record``.

    Raises:
        ModelError: If the record is cut short, of another version, or its checksum is wrong.
    """
    start = _HEADER.size + _CHECKSUM.size
    if len(record) < start:
        raise ModelError(f"The memory plan ({RECORD_NAME}) is cut short: {len(record)} bytes.")
    magic, version, count, _, _ = _HEADER.unpack_from(record)
    (checksum,) = _CHECKSUM.unpack_from(record, _HEADER.size)
    body = record[start:]
    if (magic, version) != (_MAGIC, _VERSION) or len(body) != count * _ENTRY.size:
        raise ModelError(
            f"The memory plan ({RECORD_NAME}) is none of version {_VERSION}, or cut short. "
            "Convert the model again."
        )
    if zlib.crc32(record[: _HEADER.size] + body) != checksum:
        raise ModelError(
            f"The memory plan ({RECORD_NAME}) is damaged: its checksum is wrong. Convert or copy "
            "the model again."
        )
    entries = [_ENTRY.unpack_from(body, i * _ENTRY.size) for i in range(count)]
    return [(entry[0], entry[1], entry[5]) for entry in entries]
