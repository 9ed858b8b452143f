"""Which constants lie in external flash, and how many bytes of them an inference reads there."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.instructions import block_loops, outer_loops
from mcuformer_tflm.search.cost.model_file import Constant, block_constants, outer_constants
from mcuformer_tflm.search.cost.operator_loops import Reads

# Kept free of internal flash for the program, and for the calls of each operator. The build says
# what they really take; a test holds it below.
_CODE_RESERVE, _OPERATOR_RESERVE = 40 * 1024, 192
_ALIGNMENT = 16
# Which of its operator's layers one is; others are the first.
_LAYERS = {"qkv_u": 1, "projection_v": 1, "fc2": 1, "fc1_v": 1, "fc2_u": 2, "fc2_v": 3}


@dataclasses.dataclass(frozen=True)
class StoredConstant:
    """A constant in flash.

    Attributes:
        size: Its bytes there.
        times: How often it is read, as constants are ordered by it.
        read: Bytes of it that one inference reads.
    """

    size: int
    times: int
    read: int


def code_reserve(num_operators: int) -> int:
    """Returns the bytes of internal flash that are kept free for the program of a model."""
    return _CODE_RESERVE + _OPERATOR_RESERVE * num_operators


def stored_bytes(size: int) -> int:
    """Returns the bytes of flash that a constant of a size takes in firmware."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def external_indices(constants: Sequence[StoredConstant], room: int) -> list[int]:
    """Returns which constants lie in external flash.

    Internal flash takes what is read most often first, of that the smallest first, of equal ones
    that of which most is read, and whatever then still has room.

    Args:
        constants: Constants in the order of their first use.
        room: Bytes of internal flash beside the program.
    """
    outside = []
    for index in sorted(range(len(constants)), key=lambda i: order(constants[i])):
        if constants[index].size <= room:
            room -= constants[index].size
        else:
            outside.append(index)
    return outside


def order(constant: StoredConstant) -> tuple[int, int, int]:
    """Returns by what constants are sorted where internal flash takes some of them."""
    return -constant.times, constant.size, -constant.read


def external_bytes(constants: Sequence[StoredConstant], num_operators: int, board: Board) -> int:
    """Returns the bytes of a board's external flash that one inference reads.

    Args:
        constants: All of a network, in the order of their first use.
        num_operators: How many operators it has.
        board: The board; 0 where it has no such flash.
    """
    if not board.external_flash:
        return 0
    outside = external_indices(constants, board.flash - code_reserve(num_operators))
    return sum(constants[index].read for index in outside)


def external_flash_reads(
    architecture: Architecture,
    board: Board,
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
    kept: Collection[int] = (),
    block_tokens: int = BLOCK_TOKENS,
) -> int:
    """Returns the bytes of a board's external flash that one inference of a network reads.

    Args:
        architecture: The network.
        board: The board.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.
        kept: Blocks that keep their normalised tokens.
        block_tokens: Tokens that one pass over a block's weights serves.
    """
    arch = architecture
    constants, after = outer_stored(arch, image=image, quantization=quantization)
    for block in range(arch.depth):
        constants += block_stored(
            arch, block, quantization=quantization, kept=block in kept, block_tokens=block_tokens
        )
    constants += after
    more = 1 + arch.low_rank_attention  # operators of a block that keeps its tokens
    return external_bytes(constants, num_operators(arch, arch.depth) + more * len(set(kept)), board)


def num_operators(architecture: Architecture, depth: int) -> int:
    """Returns how many operators a network of so many streamed blocks becomes."""
    return 3 * depth + (3 if architecture.pooling == "class_token" else 4)


def block_stored(
    architecture: Architecture,
    block: int,
    *,
    quantization: QuantizationConfig = INT8,
    kept: bool = False,
    block_tokens: int = BLOCK_TOKENS,
) -> Iterator[StoredConstant]:
    """Yields the constants of one block, in the order of their use.

    Args:
        architecture: The network.
        block: Which of its blocks.
        quantization: Of the network.
        kept: Whether it keeps its normalised tokens.
        block_tokens: Tokens that one pass over its weights serves.
    """
    operators = block_loops(
        architecture, block, quantization=quantization, kept=kept, block_tokens=block_tokens
    )
    *before, attention, projection, mlp = (loops.reads() for loops in operators)
    parts = {"norm_1": attention, "norm_2": mlp, "gelu": mlp, "fc": mlp}
    parts |= {"qkv": attention, "attention": attention, "projection": projection}
    if kept:  # what reads the first normalisation and U are operators of their own
        parts |= {"norm_1": before[0]}
    prefix = len(f"block_{block}_")
    for constant in block_constants(architecture, block, quantization=quantization):
        name = constant.name[prefix:]
        reads = next(part for start, part in parts.items() if name.startswith(start))
        if kept and name.startswith("qkv_u"):
            reads = before[-1]
        yield _stored(constant, name, reads, architecture.sequence_length, block_tokens)


def outer_stored(
    architecture: Architecture, *, image: Image = "whole", quantization: QuantizationConfig = INT8
) -> tuple[list[StoredConstant], list[StoredConstant]]:
    """Returns the constants before the blocks and those after them, in the order of their use.

    The table of exponentials is small enough for internal flash and counts as not read.

    Args:
        architecture: The network.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.
    """
    operators = outer_loops(architecture, image=image, quantization=quantization)
    _, stem, norm, *_, head = (loops.reads() for loops in operators)
    parts = {f"{architecture.stem_name}/": stem, "class_token/": stem, "norm/": norm, "head/": head}
    before: list[StoredConstant] = []
    after: list[StoredConstant] = []
    for constant in outer_constants(architecture, quantization=quantization):
        reads: Reads = next(
            (part for start, part in parts.items() if constant.name.startswith(start)), {}
        )
        tokens = 1 if constant.name.startswith("head/") else architecture.sequence_length
        stored = _stored(constant, constant.name, reads, tokens)
        (after if constant.name.startswith(("norm/", "head/")) else before).append(stored)
    return before, after


def _stored(
    constant: Constant, name: str, reads: Reads, tokens: int, block_tokens: int = BLOCK_TOKENS
) -> StoredConstant:
    layer, tensor = name.split("/")
    role = {
        "gamma": "norm", "beta": "norm", "table": "table", "exp_table": "table",
        "position_bias": "bias", "position": "position", "token": "class token",
        "weights": f"weights {_LAYERS.get(layer, 0)}",
        "constants": "rank units" if layer == "qkv_u" else "units",
    }[tensor]  # fmt: skip
    # Of a bias in full what is read is a number of bytes, whatever its size.
    read = reads.get(role, 0) * (1 if role == "bias" else constant.size)
    # As constants of a model are ordered (``plan/constant_reads.py``).
    once_a_token = role in ("norm", "table", "bias")
    times = tokens if once_a_token else -(-tokens // min(tokens, block_tokens))
    return StoredConstant(stored_bytes(constant.size), times, round(read))
