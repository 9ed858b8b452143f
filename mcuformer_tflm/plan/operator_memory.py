"""What each operator asks of memory: scratch, and which input it may overwrite, in which order.

The one table of this kind. Scratch sizes equal those of the functions beside the kernels in
``custom_ops/kernels``; tests compare the planned head with what TFLM reports.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from mcuformer_tflm.custom_ops.reference import (
    attention,
    conv_stem,
    fully_connected,
    mlp,
    patch_embed,
)
from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.custom_ops.reference.token_blocks import tokens_at_once
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator

Order = Literal["ascending", "descending"]


@dataclasses.dataclass(frozen=True)
class Walk:
    """How an operator goes over an input that it overwrites, from the same start.

    Step ``t`` reads the input's bytes ``[t * read - lead, (t + 1) * read - lead)``, cut to the
    input, keeps what it still needs of them in scratch, and then writes the output's bytes
    ``[last + t * written, last + (t + 1) * written)``; those before come after all steps.

    Attributes:
        order: Whether steps are taken first to last or last to first.
        steps: Number of steps.
        read: Bytes of the input that a step reads.
        written: Bytes of the output that a step writes.
        lead: Bytes of padding before the input's first byte.
        last: Bytes at the output's start that are written when every step is done.
    """

    order: Order
    steps: int
    read: int
    written: int
    _: dataclasses.KW_ONLY
    lead: int = 0
    last: int = 0


@dataclasses.dataclass(frozen=True)
class InPlace:
    """Permission to write the first output over an input, from the same start.

    Attributes:
        tensor: Index of the input tensor.
        walk: The order that makes it safe.
    """

    tensor: int
    walk: Walk


@dataclasses.dataclass(frozen=True)
class OperatorMemory:
    """Memory needs of one operator.

    Attributes:
        scratch: Bytes alive during the operator only, an entry for each buffer, in the order
            in which its adapter requests them.
        in_place: Which input may be overwritten, or None.
    """

    scratch: tuple[int, ...] = ()
    in_place: InPlace | None = None


def operator_memory(graph: ModelGraph, operator: Operator) -> OperatorMemory:
    """Returns the memory needs of an operator; a foreign one overwrites nothing."""
    tensors = [graph.tensors[i] if i >= 0 else None for i in operator.inputs]
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    width = source.shape[-1]
    tokens, block_tokens = math.prod(source.shape[:-1]), block_tokens_of(operator)
    match operator.code:
        case "McuformerFullyConnected":
            rank = tensors[4].shape[0] if len(tensors) > 5 and tensors[4] else 0
            in_place = None
            if len(tensors) > 1 and tensors[1]:
                # What is multiplied is read token block by block, and must not change before.
                if operator.inputs[1] != operator.inputs[0]:
                    in_place = _by_tokens(graph, operator, 1)
            elif operator.options.get("in_place"):
                in_place = _by_tokens(graph, operator, 0)
            scratch = fully_connected.scratch_bytes(
                width, rank, tokens=tokens, block_tokens=block_tokens
            )
            return OperatorMemory((scratch,), in_place)
        case "McuformerGelu" | "McuformerLayerNorm" | "McuformerSoftmax":
            return OperatorMemory((), _by_tokens(graph, operator, 0))
        case "McuformerAdd":
            return OperatorMemory((), _by_tokens(graph, operator, _last_read(graph, operator)))
        case "McuformerConvStem":
            return _conv_stem_memory(graph, operator)
        case "McuformerPatchEmbed":
            return _patch_embed_memory(graph, operator)
        case "McuformerMeanPool":
            # A column's sum is complete before its mean is written over the first row.
            whole = Walk("ascending", 1, source.size, output.size)
            return OperatorMemory((), InPlace(operator.inputs[0], whole))
        case "McuformerTokenPool":
            # A row of windows is read before the next; within it no window overwrites a later one.
            size = operator.options["size"]
            bands = math.prod(source.shape[:-1]) // (operator.options["columns"] * size)
            band = Walk("ascending", bands, source.size // bands, output.size // bands)
            return OperatorMemory((), InPlace(operator.inputs[0], band))
        case "McuformerAttention":
            head_dim = operator.options.get("head_dim", 1)
            projected = width if len(tensors) > 4 and tensors[4] else 0
            rank = tensors[8].shape[0] if len(tensors) > 8 and tensors[8] else 0
            scratch = attention.scratch_bytes(
                source.shape[-2], head_dim, projected, rank, block_tokens=block_tokens
            )
            return OperatorMemory((scratch,))
        case "McuformerMlp":
            layers = [tensor.shape[0] for tensor in tensors[5::2] if tensor]
            hidden, rank = (layers[1], layers[0]) if len(layers) == 4 else (layers[0], 0)
            scratch = mlp.scratch_bytes(
                width, hidden, rank, tokens=tokens, block_tokens=block_tokens
            )
            return OperatorMemory((scratch,), _by_tokens(graph, operator, 0))
        case _:
            return OperatorMemory()


def block_tokens_of(operator: Operator) -> int:
    """Returns how many tokens one pass over an operator's weights serves at the most."""
    return operator.options.get("block_tokens", BLOCK_TOKENS)


def _patch_embed_memory(graph: ModelGraph, operator: Operator) -> OperatorMemory:
    image, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    _, height, width, channels = image.shape
    patch, tile = operator.options["patch_size"], operator.options["tile"]
    embed_dim, element_size = output.shape[-1], np.dtype(output.dtype).itemsize
    in_place = MODES[operator.options["mode"]] == "in place"
    columns = -(-width // patch)
    scratch = patch_embed.scratch_bytes(
        embed_dim, patch, channels, tile, columns if in_place else 0, element_size
    )
    if not in_place:
        return OperatorMemory((scratch,))
    # A row of patches is complete, in scratch, before it overwrites pixels above the next.
    row = width * channels
    walk = Walk(
        "ascending", -(-height // patch), patch * row, columns * embed_dim * element_size,
        lead=(-height % patch) // 2 * row, last=_class_token_bytes(graph, operator),
    )  # fmt: skip
    return OperatorMemory((scratch,), InPlace(operator.inputs[0], walk))


def _conv_stem_memory(graph: ModelGraph, operator: Operator) -> OperatorMemory:
    image, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    _, height, width, channels = image.shape
    stages = conv_stem.stage_channels(operator.options)
    scratch = conv_stem.scratch_bytes(width, channels, stages)
    if MODES[operator.options["mode"]] != "in place":
        return OperatorMemory((scratch,))
    # The last row that a row of tokens and the next one are both made of is kept in scratch.
    patch = operator.options["patch_size"]
    token = output.shape[-1] * np.dtype(output.dtype).itemsize
    walk = Walk(
        "ascending", -(-height // patch), patch * width * channels, -(-width // patch) * token,
        last=_class_token_bytes(graph, operator),
    )  # fmt: skip
    return OperatorMemory((scratch,), InPlace(operator.inputs[0], walk))


def _class_token_bytes(graph: ModelGraph, operator: Operator) -> int:
    has = len(operator.inputs) > 4 and operator.inputs[4] >= 0
    return graph.tensors[operator.inputs[4]].size if has else 0


def _by_tokens(graph: ModelGraph, operator: Operator, position: int) -> InPlace:
    # Token overwriting (paper, section 3.2), a block of tokens at a time: rows that grow are
    # walked last to first.
    index = operator.inputs[position]
    source, output = graph.tensors[index], graph.tensors[operator.outputs[0]]
    # An output of fewer rows takes the leading ones of the input.
    rows = math.prod(output.shape[:-1])
    read, written = source.size // math.prod(source.shape[:-1]), output.size // rows
    order: Order = "descending" if written > read else "ascending"
    step = tokens_at_once(rows, block_tokens_of(operator))
    return InPlace(index, Walk(order, -(-rows // step), step * read, step * written))


def _last_read(graph: ModelGraph, operator: Operator) -> int:
    # Position of the first of two summands that nobody reads later, or 0.
    position = next(i for i, other in enumerate(graph.operators) if other is operator)
    later = {index for other in graph.operators[position + 1 :] for index in other.inputs}
    later |= set(graph.outputs)
    return next((i for i in (0, 1) if operator.inputs[i] not in later), 0)
