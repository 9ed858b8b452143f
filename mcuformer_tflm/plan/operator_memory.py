"""What each of our operators asks of memory: scratch, and which input it may overwrite.

Scratch sizes equal those of the functions beside the kernels in ``custom_ops/kernels``; a
test compares the plan's head with what TFLM reports.
"""

from __future__ import annotations

import dataclasses

from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


@dataclasses.dataclass(frozen=True)
class OperatorMemory:
    """Memory needs of one operator.

    Attributes:
        scratch: Bytes alive during the operator only, one entry a buffer.
        overwrites: Index of the input tensor in whose place the output starts, or None.
    """

    scratch: tuple[int, ...]
    overwrites: int | None


def operator_memory(graph: ModelGraph, operator: Operator) -> OperatorMemory:
    """Returns the memory needs of an operator; a foreign one overwrites nothing."""
    shapes = [graph.tensors[i].shape if i >= 0 else () for i in operator.inputs]
    match operator.code:
        case "McuformerFullyConnected":
            if operator.options.get("in_place"):
                return OperatorMemory((shapes[0][-1],), operator.inputs[0])
            return OperatorMemory((), operator.inputs[5] if len(shapes) > 5 else None)
        case "McuformerGelu":
            return OperatorMemory((), operator.inputs[0])
        case "McuformerPatchEmbed":
            return OperatorMemory((4 * shapes[1][0],), None)
        case "McuformerMeanPool":
            return OperatorMemory((4 * shapes[0][-1],), operator.inputs[0])
        case "McuformerAttention":
            tokens = shapes[0][-2]
            return OperatorMemory((4 * tokens,), None)
        case _:
            return OperatorMemory((), None)
