"""What each operator asks of memory: scratch, and which input it may overwrite, in which order.

The one table of this kind. Scratch sizes equal those of the functions beside the kernels in
``custom_ops/kernels``; tests compare the planned head with what TFLM reports.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator

Order = Literal["ascending", "descending"]


@dataclasses.dataclass(frozen=True)
class Walk:
    """How an operator goes over an input that it overwrites, from the same start.

    Step ``t`` reads the input's bytes ``[t * read - lead, (t + 1) * read - lead)``, cut to the
    input, keeps what it still needs of them in scratch, and then writes the output's bytes
    ``[t * written, (t + 1) * written)``.

    Attributes:
        order: Whether steps are taken first to last or last to first.
        steps: Number of steps.
        read: Bytes of the input that a step reads.
        written: Bytes of the output that a step writes.
        lead: Bytes of padding before the input's first byte.
    """

    order: Order
    steps: int
    read: int
    written: int
    lead: int = 0


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
    match operator.code:
        case "McuformerFullyConnected":
            if operator.options.get("in_place"):
                row = graph.tensors[operator.inputs[0]].shape[-1]
                return OperatorMemory((row,), _by_rows(graph, operator, 0))
            if len(operator.inputs) > 5:
                return OperatorMemory((), _by_rows(graph, operator, 5))
            return OperatorMemory()
        case "McuformerGelu" | "McuformerLayerNorm":
            return OperatorMemory((), _by_rows(graph, operator, 0))
        case "McuformerPatchEmbed":
            return OperatorMemory((4 * graph.tensors[operator.inputs[1]].shape[0],))
        case "McuformerMeanPool":
            # Sums are complete, in scratch, before the first byte of the result is written.
            source, output = (graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
            whole = Walk("ascending", 1, source.size, output.size)
            return OperatorMemory((4 * source.shape[-1],), InPlace(operator.inputs[0], whole))
        case "McuformerAttention":
            tokens = graph.tensors[operator.inputs[0]].shape[-2]
            return OperatorMemory((4 * tokens,))
        case _:
            return OperatorMemory()


def _by_rows(graph: ModelGraph, operator: Operator, position: int) -> InPlace:
    # Token overwriting (paper, section 3.2): rows that grow are walked last to first.
    index = operator.inputs[position]
    source, output = graph.tensors[index], graph.tensors[operator.outputs[0]]
    # An output of fewer rows takes the leading ones of the input.
    rows = math.prod(output.shape[:-1])
    read, written = source.size // math.prod(source.shape[:-1]), output.size // rows
    order: Order = "descending" if written > read else "ascending"
    return InPlace(index, Walk(order, rows, read, written))
