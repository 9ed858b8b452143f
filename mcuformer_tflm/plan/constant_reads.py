"""How often an inference reads each constant: which of them belong into the faster flash."""

from __future__ import annotations

import math

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.plan.block_tokens import layer_inputs, num_tokens, tokens_of_pass
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator

_STEMS = ("McuformerConvStem", "McuformerPatchEmbed")


def times_read(graph: ModelGraph) -> dict[int, int]:
    """Returns how often each constant is read, by tensor.

    The weights of a layer and the constants of its units are read once a pass, those of a stem
    once for each four of its tokens, what normalises or is looked up once a token: an order, by
    which constants of one size compare, and no count of bytes.
    """
    times: dict[int, int] = {}
    for operator in graph.operators:
        for position, index in enumerate(operator.inputs):
            if index >= 0 and graph.tensors[index].constant:
                times[index] = times.get(index, 0) + _times(graph, operator, position)
    return times


def _times(graph: ModelGraph, operator: Operator, position: int) -> int:
    if operator.code in _STEMS:
        tokens = math.prod(graph.tensors[operator.outputs[0]].shape[:-1])
        return -(-tokens // BLOCK_TOKENS)
    tokens = num_tokens(graph, operator)
    if position in layer_inputs(operator):
        return -(-tokens // tokens_of_pass(graph, operator))
    return tokens
