"""The size of a model file, computed from an architecture before the model exists.

A ``.tflite`` is a flatbuffer, written from its end to its start: constants, each at a multiple of
16 bytes, and around them tables of tensors and operators. ``_Flatbuffer`` adds up what the
writer would write, alignment and shared field tables included.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from mcuformer_tflm.custom_ops.reference.conv_stem import PATCH_SIZES, num_stages
from mcuformer_tflm.custom_ops.reference.dot import packed_weight_bytes
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_type
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost import stem

# What is taken for a class name where the labels are not known yet: its bytes and a line break.
LABEL_BYTES = 16

# Per unit: int32 bias, multiplier and shift.
_BYTES_PER_UNIT = 12
# The stem and the head keep this width; ``QuantizationConfig.weight_bits`` is that
# of the matrices between them.
_OUTER_WEIGHT_BITS = 8
# Per channel: int16 gamma, int32 beta.
_GAMMA_BYTES, _BETA_BYTES = 2, 4
_GELU_TABLE_BYTES = 256
_EXP_TABLE_BYTES = 512
_ALIGNMENT = 16
# Length, and the table that points at it.
_BUFFER_OVERHEAD = 12

# Bytes of the options of each stem's operator; a stage has one of its own.
_STEM_OPTIONS = {
    "McuformerPatchEmbed": 171,
    **{f"McuformerConvStem of {n} stages": 158 + 17 * n for n in map(num_stages, PATCH_SIZES)},
}
# Inputs of each operator, constants and absent ones included, and bytes of its options: their
# names, and values that are as wide as the widest of them.
_OPERATORS = {
    **{name: (4, options) for name, options in _STEM_OPTIONS.items()},
    **{f"{name} with class token": (5, options) for name, options in _STEM_OPTIONS.items()},
    "McuformerAttention": (6, 230),
    "McuformerAttention with bias": (7, 239),
    "McuformerAttention with wide bias": (7, 260),
    "McuformerAttention of low rank": (9, 251),
    "McuformerAttention with bias of low rank": (9, 264),
    "McuformerAttention with wide bias of low rank": (9, 281),
    "McuformerFullyConnected": (5, 149),
    "McuformerFullyConnected of low rank": (7, 170),
    "McuformerMlp": (12, 262),
    "McuformerMlp without rank": (8, 208),
    "McuformerLayerNorm": (3, 71),
    "McuformerMeanPool": (1, 95),
    "McuformerFullyConnected head": (5, 55),
}
_WITHOUT_SCRATCH = ("McuformerLayerNorm", "McuformerMeanPool")
_DESCRIPTION = "vision transformer by mcuformer_tflm"
_RECORD_BYTES = 16  # header, and each buffer
_PLAN, _RECORD = "OfflineMemoryAllocation", "McuformerMemoryPlan"
_ARCHITECTURE, _SUPPORT = "McuformerArchitecture", "TFLITE_METADATA"
# What tflite-support writes for an image classifier, and what the name of a colour space takes of
# that: there is one for these numbers of channels only.
_SUPPORT_BYTES, _COLOUR_SPACE_BYTES = 640, 16
_COLOUR_SPACES = (1, 3)
# The zip archive behind the flatbuffer, without the labels: two headers and an end record.
_ARCHIVE_BYTES = 30 + 46 + 22 + 2 * len("labels.txt")


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor in flash.

    Attributes:
        name: Its name in the model.
        rank: Number of its dimensions.
        size: Its bytes.
    """

    name: str
    rank: int
    size: int


def outer_constants(
    architecture: Architecture, *, quantization: QuantizationConfig = INT8
) -> Iterator[Constant]:
    """Yields the constants before and after the blocks, in the file's order.

    Raises:
        ConfigError: If ``quantization`` is no such configuration.
    """
    checked_type("quantization", quantization, QuantizationConfig)
    arch, dim = architecture, architecture.embed_dim
    yield Constant(f"{arch.stem_name}/weights", 1, stem.packed_bytes(arch))
    yield Constant(f"{arch.stem_name}/constants", 2, stem.num_units(arch) * _BYTES_PER_UNIT)
    yield Constant(f"{arch.stem_name}/position", 2, arch.num_tokens * dim)
    if arch.pooling == "class_token":
        yield Constant("class_token/token", 1, dim * quantization.residual_bits // 8)
    yield Constant("attention/exp_table", 1, _EXP_TABLE_BYTES)
    yield from _norm("norm", dim)
    yield from _layer("head", arch.num_classes, dim)


def block_constants(
    architecture: Architecture, block: int, *, quantization: QuantizationConfig = INT8
) -> Iterator[Constant]:
    """Yields the constants of one block, in the file's order.

    Raises:
        ConfigError: If ``quantization`` is no such configuration.
    """
    checked_type("quantization", quantization, QuantizationConfig)
    arch, dim, prefix = architecture, architecture.embed_dim, f"block_{block}_"
    width, hidden, rank = arch.attention_dim(block), arch.hidden_dim(block), arch.rank
    bits = quantization.weight_bits
    yield from _norm(prefix + "norm_1", dim)
    # Queries, keys and values of each head are packed by themselves.
    heads = 3 * arch.num_heads[block]
    low_rank = arch.low_rank_attention
    packed = packed_weight_bytes(arch.head_dim, rank if low_rank else dim, bits)
    qkv, projection = ("qkv_v", "projection_v") if low_rank else ("qkv", "projection")
    yield Constant(f"{prefix}{qkv}/weights", 1, heads * packed)
    yield Constant(f"{prefix}{qkv}/constants", 2, 3 * width * _BYTES_PER_UNIT)
    if arch.relative_position:
        yield Constant(
            prefix + "attention/position_bias", 2 if arch.pooling == "class_token" else 3,
            2 * arch.num_heads[block] * arch.position_biases,
        )  # fmt: skip
    if low_rank:
        yield from _layer(prefix + "qkv_u", rank, dim, bits)
        yield from _layer(prefix + "projection_u", rank, width, bits)
    yield from _layer(prefix + projection, dim, rank if low_rank else width, bits)
    yield from _norm(prefix + "norm_2", dim)
    table = Constant(prefix + "gelu/table", 1, _GELU_TABLE_BYTES)
    if rank == 0:
        yield from _layer(prefix + "fc1", hidden, dim, bits)
        yield table
        yield from _layer(prefix + "fc2", dim, hidden, bits)
        return
    yield from _layer(prefix + "fc1_u", rank, dim, bits)
    yield from _layer(prefix + "fc1_v", hidden, rank, bits)
    yield table
    yield from _layer(prefix + "fc2_u", rank, hidden, bits)
    yield from _layer(prefix + "fc2_v", dim, rank, bits)


def buffer_bytes(size: Any) -> Any:
    """Returns the bytes of the file that a buffer takes: data, length, table and padding.

    Args:
        size: Bytes of its data, an int or an array of them.
    """
    return -(-(size + _BUFFER_OVERHEAD) // _ALIGNMENT) * _ALIGNMENT


def model_bytes(
    architecture: Architecture,
    labels: Sequence[str] | None = None,
    *,
    quantization: QuantizationConfig = INT8,
) -> int:
    """Returns the size of the ``.tflite`` that ``convert`` will write, before there is one.

    For the streamed schedule, image whole or in strips. Exact, but where constants of a network
    are equal and share a tensor, as in an untrained one: then the file is smaller.

    Args:
        architecture: The network.
        labels: Class names; None counts ``LABEL_BYTES`` each.
        quantization: Whose ``weight_bits`` is the width of the blocks' weights.

    Raises:
        ConfigError: If an argument is none of those, or the labels are not one name a class.
    """
    arch = architecture
    checked_type("architecture", arch, Architecture)
    blocks = sum(block_bytes(arch, block, quantization=quantization) for block in range(arch.depth))
    description = buffer_bytes(len(arch.to_json()))
    outer = outer_bytes(arch, arch.depth, quantization=quantization)
    return outer + blocks + description + archive_bytes(arch, labels)


def outer_bytes(
    architecture: Architecture, depth: int, *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns the bytes of the file beside the constants of blocks, JSON and labels.

    Args:
        architecture: The network; its own depth does not count.
        depth: Number of blocks.
        quantization: Of the network.
    """
    arch = architecture
    sizes = [constant.size for constant in outer_constants(arch, quantization=quantization)]
    ends = (sizes[0] % _ALIGNMENT, sizes[1] % _ALIGNMENT)
    return sum(map(buffer_bytes, sizes)) + _structure_bytes(_least_network(arch, depth), ends)


def _least_network(arch: Architecture, depth: int) -> Architecture:
    # Of the same options and depth, with or without a name of a colour space, square or not.
    patch = arch.patch_size if arch.stem == "conv" else 1  # it tells the number of stages
    size = (patch, patch if arch.grid_height == arch.grid_width else 2 * patch)
    return dataclasses.replace(
        arch, image_size=size, channels=1 if arch.channels in _COLOUR_SPACES else 2,
        num_classes=1, patch_size=patch, rank_ratio=arch.rank_ratio and 1.0, head_dim=1,
        embed_dim=1, num_heads=(1,) * depth, mlp_ratio=(1.0,) * depth,
    )  # fmt: skip


def block_bytes(
    architecture: Architecture, block: int, *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns the bytes of the file that the constants of one block take."""
    constants = block_constants(architecture, block, quantization=quantization)
    return sum(buffer_bytes(constant.size) for constant in constants)


def archive_bytes(architecture: Architecture, labels: Sequence[str] | None = None) -> int:
    """Returns the bytes of the zip archive that holds the labels.

    Args:
        architecture: The network.
        labels: Names of its classes; None counts ``LABEL_BYTES`` a class.

    Raises:
        ConfigError: If the labels are not one name a class.
    """
    if labels is None:
        return _ARCHIVE_BYTES + LABEL_BYTES * architecture.num_classes
    names = class_names(labels, architecture.num_classes)
    return _ARCHIVE_BYTES + sum(len(name.encode()) + 1 for name in names)


@functools.cache
def _structure_bytes(arch: Architecture, ends: tuple[int, int]) -> int:
    """Returns the bytes of the flatbuffer without the buffers of constants and architecture.

    Tensors, operators and their options, names, and both forms of the memory plan. Nothing of
    it depends on widths, since a number takes four bytes whatever its value; but between the
    first buffers lies what is not a multiple of 16, which ``ends`` is for.

    Args:
        arch: The least network of the form, which stands for all.
        ends: Bytes of the first two buffers beyond multiples of 16.
    """
    outer = list(outer_constants(arch))
    for index, end in enumerate(ends):
        outer[index] = dataclasses.replace(outer[index], size=_ALIGNMENT + end)
    tensors, operators = _graph(arch, outer)
    constants = [size for _, _, size in tensors if size]
    scratch = sum(name not in _WITHOUT_SCRATCH for name in operators)
    planned = len(tensors) - len(constants) + scratch
    plans = [4 * (3 + len(tensors)), _RECORD_BYTES * (1 + planned)]
    file = _Flatbuffer()
    codes = list(dict.fromkeys(name.split()[0] for name in operators))
    for code in codes:
        file.string(code)
        file.table((0, 1), (1, 4), (3, 4))
    file.vector(4, len(codes))
    for name, rank, size in tensors:
        file.tensor(name, rank, constant=size > 0)
    file.vector(4, len(tensors))
    file.vector(4, 1)
    file.vector(4, 1)
    for operator in operators:
        inputs, options = _OPERATORS[operator]
        file.vector(4, inputs)
        file.vector(4, 1)
        file.vector(1, options)
        first = operator.split()[0] == codes[0]
        file.table(*([] if first else [(0, 4)]), (1, 4), (2, 4), (5, 4))
    file.vector(4, len(operators))
    file.string("main")
    file.table((0, 4), (1, 4), (2, 4), (3, 4), (4, 4))
    file.vector(4, 1)
    file.string(_DESCRIPTION)
    file.table()
    # The architecture, of 0 bytes here, is counted by its owner.
    support = _SUPPORT_BYTES - (0 if arch.channels in _COLOUR_SPACES else _COLOUR_SPACE_BYTES)
    buffers = [*constants, *plans, support]
    for size in buffers:
        file.vector(1, size, _ALIGNMENT)
        file.table((0, 4))
    file.vector(4, 2 + len(buffers))
    for name in (_PLAN, _RECORD, _ARCHITECTURE, _SUPPORT):
        file.string(name)
        file.table((0, 4), (1, 4))
    file.vector(4, 4)
    file.table((0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (6, 4))
    return file.finish() - sum(buffer_bytes(size) for size in constants)


def _graph(
    arch: Architecture, outer: Sequence[Constant]
) -> tuple[list[tuple[str, int, int]], list[str]]:
    # (name, rank, bytes or 0 for an activation) of each tensor, and the operators.
    tensors: list[tuple[str, int, int]] = [("image", 4, 0)]
    low_rank, class_token = arch.rank > 0, arch.pooling == "class_token"
    operators = [_stem_operator(arch)]

    def add(constants: Sequence[Constant]) -> None:
        tensors.extend((c.name, c.rank, c.size) for c in constants)

    *first, exp_table = outer[: 4 + class_token]
    tail = outer[len(first) + 1 :]
    add(first)
    tensors.append((arch.stem_name, 3, 0))
    mlp = "McuformerMlp" if low_rank else "McuformerMlp without rank"
    attention, projection, pair = "McuformerAttention", "projection", ""
    if arch.relative_position:
        square = arch.grid_height == arch.grid_width
        attention += " with bias" if square else " with wide bias"
    if arch.low_rank_attention:
        projection, pair = "projection_v", " of low rank"
    # Here the constants of attention end, and those of the projection.
    end = 4 + arch.relative_position + 2 * arch.low_rank_attention
    second_end = end + 2 + 2 * arch.low_rank_attention
    for block in range(arch.depth):
        prefix, constants = f"block_{block}_", list(block_constants(arch, block))
        add(constants[:2])
        if block == 0:
            add([exp_table])
        add(constants[2:end])
        tensors.append((prefix + "attention", 3, 0))
        add(constants[end:second_end])
        tensors.append((prefix + projection, 3, 0))
        add(constants[second_end:])
        tensors.append((prefix + ("fc2_v" if low_rank else "fc2"), 3, 0))
        operators += [attention + pair, "McuformerFullyConnected" + pair, mlp]
    add(tail[:2])
    operators.append("McuformerLayerNorm")
    if class_token:
        tensors.append(("class_token_pool", 2, 0))
    else:
        tensors += [("norm", 3, 0), ("mean_pool", 2, 0)]
        operators.append("McuformerMeanPool")
    add(tail[2:])
    tensors.append(("head", 2, 0))
    operators.append("McuformerFullyConnected head")
    return tensors, operators


def _stem_operator(arch: Architecture) -> str:
    stages = f" of {num_stages(arch.patch_size)} stages" if arch.stem == "conv" else ""
    token = " with class token" if arch.pooling == "class_token" else ""
    return stem.OPERATORS[arch.stem] + stages + token


def _norm(name: str, width: int) -> Iterator[Constant]:
    yield Constant(f"{name}/gamma", 1, _GAMMA_BYTES * width)
    yield Constant(f"{name}/beta", 1, _BETA_BYTES * width)


def _layer(name: str, units: int, width: int, bits: int = _OUTER_WEIGHT_BITS) -> Iterator[Constant]:
    yield Constant(f"{name}/weights", 4, packed_weight_bytes(units, width, bits))
    yield Constant(f"{name}/constants", 2, units * _BYTES_PER_UNIT)


class _Flatbuffer:
    # Counts what flatbuffers' builder writes, from the file's end to its start.

    def __init__(self) -> None:
        self._size = 0
        self._layouts: set[tuple[tuple[int, int], ...]] = set()

    def vector(self, element: int, count: int, alignment: int = 1) -> None:
        self._align(4, element * count)
        self._align(max(element, alignment), element * count)
        self._size += element * count + 4

    def string(self, text: str) -> None:
        self._align(4, len(text) + 1)
        self._size += len(text) + 1 + 4

    def table(self, *fields: tuple[int, int]) -> None:
        # Fields are (position in the schema, bytes); those at their default are not written.
        start = self._size
        places = []
        for position, size in fields:
            self._align(size)
            self._size += size
            places.append((position, self._size))
        self._align(4)
        self._size += 4
        end = self._size
        layout = (*((p, end - place) for p, place in places), (-1, end - start))
        # Tables of one layout share the list of their fields' places.
        if layout not in self._layouts:
            self._layouts.add(layout)
            self._align(2)
            self._size += 2 * (2 + 1 + max((p for p, _ in fields), default=-1))

    def tensor(self, name: str, rank: int, constant: bool) -> None:
        self.vector(4, rank)
        self.string(name)
        if constant:
            self.table((0, 4), (1, 1), (2, 4), (3, 4))
            return
        self.vector(4, 1)
        self.vector(8, 1)
        self.table((2, 4), (3, 4))
        self.table((0, 4), (1, 1), (3, 4), (4, 4))

    def finish(self) -> int:
        # The identifier and the root's place come first.
        self._align(_ALIGNMENT, 8)
        return self._size + 8

    def _align(self, size: int, following: int = 0) -> None:
        self._size += -(self._size + following) % size
