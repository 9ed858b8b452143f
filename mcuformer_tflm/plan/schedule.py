"""What a model's operators hold and what they make again."""

from __future__ import annotations

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.plan.block_tokens import num_tokens, reads_weights, tokens_of_pass
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


def describe_schedule(graph: ModelGraph) -> str:
    """Returns in a sentence how the blocks of a model run (``convert``'s schedules)."""
    kinds = [_kind(graph, op) for op in graph.operators if op.code == "McuformerAttention"]
    parts = [
        f"{kind} in {kinds.count(kind)} of {len(kinds)} blocks" for kind in dict.fromkeys(kinds)
    ]
    streamed = any(op.code == "McuformerMlp" for op in graph.operators)
    mlp = "a few tokens at a time" if streamed else "layer by layer"
    return f"Attention: {'; '.join(parts) or 'none'}. MLP: {mlp}. {_describe_weights(graph)}"


def _describe_weights(graph: ModelGraph) -> str:
    tokens = [
        tokens_of_pass(graph, operator)
        for operator in graph.operators
        if reads_weights(operator) and num_tokens(graph, operator) > BLOCK_TOKENS
    ]
    if not tokens:
        return "Weights are read once."
    least, most = min(tokens), max(tokens)
    return f"A pass over weights serves {least if least == most else f'{least} to {most}'} tokens."


def _kind(graph: ModelGraph, operator: Operator) -> str:
    present = [index >= 0 for index in operator.inputs] + [False] * 5
    if not present[4]:
        return "queries, keys and values held whole"
    if not present[2]:
        return "a head at a time, normalised tokens kept"
    if BLOCK_TOKENS < num_tokens(graph, operator) == tokens_of_pass(graph, operator):
        return "a head at a time, tokens normalised once"
    return "a head at a time, tokens normalised again for each"
