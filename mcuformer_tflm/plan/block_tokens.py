"""How many tokens one pass over each operator's weights serves.

More of them take more scratch, and weights are read less often, which counts where they lie in
flash outside the chip.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS, round_up
from mcuformer_tflm.custom_ops.reference.token_blocks import MAX_BLOCK_TOKENS, tokens_at_once
from mcuformer_tflm.plan.cortex_m import arena_content, cortex_m_arena_bytes
from mcuformer_tflm.plan.liveness import find_buffers, operator_needs
from mcuformer_tflm.plan.memory_plan import ALIGNMENT
from mcuformer_tflm.plan.operator_memory import block_tokens_of, operator_memory
from mcuformer_tflm.plan.planner import plan_memory
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator

# Inputs of the operators that have the option at which packed layers lie, weights and constants of
# the units; an Mlp has two layers or four.
_LAYERS = {
    "McuformerAttention": (4, 5, 7, 8),
    "McuformerFullyConnected": (3, 4, 5, 6),
    "McuformerMlp": tuple(range(4, 12)),
}


def choose_block_tokens(graph: ModelGraph, arena_budget: int) -> dict[str, int]:
    """Returns ``block_tokens`` of the operators for which a budget has room, by their output.

    Each operator makes as few passes over its weights as its scratch leaves it, and takes as few
    tokens at once as that number of passes permits; 4 tokens are not named. The arena never grows
    beyond the budget, nor is anything chosen where it is exceeded anyway.

    Args:
        graph: A model without these options.
        arena_budget: Bytes of Cortex-M arena.
    """
    plan = plan_memory(graph)
    room = arena_budget - tflm_arena(arena_content(graph, plan)).tail
    over = cortex_m_arena_bytes(graph, plan) - arena_budget
    chosen: dict[str, int] = {}
    # A plan may need more than what is alive at once: then with less of it.
    while over <= 0 or chosen:
        chosen = _choose(graph, room)
        blocked = with_block_tokens(graph, chosen)
        over = cortex_m_arena_bytes(blocked, plan_memory(blocked)) - arena_budget
        if over <= 0:
            return chosen
        room -= over
    return {}


def same_block_tokens(graph: ModelGraph, block_tokens: int) -> dict[str, int]:
    """Returns that many tokens, or all, for each operator that has the option, by its output."""
    at_once = {
        _name(graph, operator): tokens_at_once(num_tokens(graph, operator), block_tokens)
        for operator in graph.operators
        if reads_weights(operator)
    }
    return {name: tokens for name, tokens in at_once.items() if tokens > BLOCK_TOKENS}


def with_block_tokens(graph: ModelGraph, block_tokens: Mapping[str, int]) -> ModelGraph:
    """Returns the graph with those options, by the names of the operators' outputs."""
    operators = tuple(
        _with(operator, block_tokens[_name(graph, operator)])
        if _name(graph, operator) in block_tokens
        else operator
        for operator in graph.operators
    )
    return dataclasses.replace(graph, operators=operators)


def layer_inputs(operator: Operator) -> tuple[int, ...]:
    """Returns the positions of an operator's inputs that passes over weights read."""
    return tuple(
        position
        for position in _LAYERS.get(operator.code, ())
        if position < len(operator.inputs) and operator.inputs[position] >= 0
    )


def reads_weights(operator: Operator) -> bool:
    """Whether an operator has the option ``block_tokens``."""
    return bool(layer_inputs(operator))


def num_tokens(graph: ModelGraph, operator: Operator) -> int:
    """Returns the tokens of an operator's input."""
    return math.prod(graph.tensors[operator.inputs[0]].shape[:-1])


def tokens_of_pass(graph: ModelGraph, operator: Operator) -> int:
    """Returns how many tokens one pass over an operator's weights serves."""
    return min(num_tokens(graph, operator), block_tokens_of(operator))


def _choose(graph: ModelGraph, room: int) -> dict[str, int]:
    chosen = {}
    needs = operator_needs(graph, find_buffers(graph))
    for operator, need in zip(graph.operators, needs, strict=True):
        if not reads_weights(operator):
            continue
        beside = need.total - _scratch(graph, operator)
        tokens = num_tokens(graph, operator)
        for passes in range(1, -(-tokens // BLOCK_TOKENS)):
            at_once = round_up(-(-tokens // passes), BLOCK_TOKENS)
            fits = beside + _scratch(graph, _with(operator, at_once)) <= room
            if fits and at_once <= MAX_BLOCK_TOKENS:
                chosen[_name(graph, operator)] = at_once
                break
    return chosen


def _scratch(graph: ModelGraph, operator: Operator) -> int:
    return sum(round_up(size, ALIGNMENT) for size in operator_memory(graph, operator).scratch)


def _with(operator: Operator, block_tokens: int) -> Operator:
    return dataclasses.replace(operator, options={**operator.options, "block_tokens": block_tokens})


def _name(graph: ModelGraph, operator: Operator) -> str:
    return graph.tensors[operator.outputs[0]].name
