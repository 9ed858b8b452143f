"""What a model's operators hold and what they make again."""

from __future__ import annotations

from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


def describe_schedule(graph: ModelGraph) -> str:
    """Returns in a sentence how the blocks of a model run (``convert``'s schedules)."""
    kinds = [_kind(op) for op in graph.operators if op.code == "McuformerAttention"]
    parts = [
        f"{kind} in {kinds.count(kind)} of {len(kinds)} blocks" for kind in dict.fromkeys(kinds)
    ]
    streamed = any(op.code == "McuformerMlp" for op in graph.operators)
    mlp = "four tokens at a time" if streamed else "layer by layer"
    return f"Attention: {'; '.join(parts) or 'none'}. MLP: {mlp}."


def _kind(operator: Operator) -> str:
    present = [index >= 0 for index in operator.inputs] + [False] * 5
    if not present[4]:
        return "queries, keys and values held whole"
    if not present[2]:
        return "a head at a time, normalised tokens kept"
    return "a head at a time, tokens normalised again for each"
