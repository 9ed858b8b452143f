"""What one inference of a model is estimated to take on a board, from its graph alone."""

from __future__ import annotations

from collections import Counter

from mcuformer_tflm.plan.constant_reads import times_read
from mcuformer_tflm.plan.operator_loops import graph_loops, input_loops
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.flash_reads import StoredConstant, external_bytes, stored_bytes
from mcuformer_tflm.search.cost.instructions import operator_instructions
from mcuformer_tflm.search.cost.milliseconds import CostEstimate, board_estimate
from mcuformer_tflm.tflite.model_graph import ModelGraph

# What each input of an operator is for, by position: how often it is read is told by that.
_STEM = {1: "weights 0", 2: "units", 3: "position", 4: "class token"}
_ROLES: dict[str, dict[int, str]] = {
    "McuformerPatchEmbed": _STEM,
    "McuformerConvStem": _STEM,
    "McuformerLayerNorm": {1: "norm", 2: "norm"},
    "McuformerFullyConnected": {
        2: "table", 3: "weights 0", 4: "units", 5: "weights 1", 6: "units",
    },
    "McuformerMlp": {
        1: "norm", 2: "norm", 3: "table", 4: "weights 0", 5: "units", 6: "weights 1",
        7: "units", 8: "weights 2", 9: "units", 10: "weights 3", 11: "units",
    },
    "McuformerAttention": {
        1: "table", 2: "norm", 3: "norm", 4: "weights 0", 5: "units", 6: "bias",
        7: "weights 1", 8: "rank units",
    },
    "McuformerGelu": {1: "table"},
    "McuformerSoftmax": {1: "table"},
}  # fmt: skip


def estimate_graph_cost(graph: ModelGraph, board: Board | str) -> CostEstimate | None:
    """Returns the estimate for a model; None where instructions of an operator are not known.

    Args:
        graph: Of a model, converted or not yet.
        board: The board, its name, or the path of its file.

    Raises:
        ConfigError: If instructions were counted on no core like the board's.
    """
    board = get_board(board)
    loops = [one for one in graph_loops(graph) if one is not None]
    if len(loops) < len(graph.operators) or None in operators_instructions(graph, board.core):
        return None
    return board_estimate(board, [input_loops(graph), *loops], graph_external_bytes(graph, board))


def operators_instructions(graph: ModelGraph, core: str) -> list[float | None]:
    """Returns the instructions of each operator in order; None where they are not known.

    Raises:
        ConfigError: If instructions were counted on no such core.
    """
    return [
        None if loops is None else operator_instructions(loops, core)
        for loops in graph_loops(graph)
    ]


def graph_external_bytes(graph: ModelGraph, board: Board) -> int:
    """Returns the bytes of a board's external flash that one inference of a model reads."""
    return external_bytes(stored_constants(graph), len(graph.operators), board)


def stored_constants(graph: ModelGraph) -> list[StoredConstant]:
    """Returns what is stored and read of each constant, in the order of ``constant_tensors``."""
    times, read = times_read(graph), bytes_read(graph)
    return [
        StoredConstant(stored_bytes(graph.tensors[index].size), times[index], read[index])
        for index in constant_tensors(graph)
    ]


def bytes_read(graph: ModelGraph) -> Counter[int]:
    """Returns how many bytes of each constant, by tensor, one inference reads."""
    read: Counter[int] = Counter()
    for operator, loops in zip(graph.operators, graph_loops(graph), strict=True):
        reads = loops.reads() if loops else {}
        for position, role in _ROLES.get(operator.code, {}).items():
            if position < len(operator.inputs) and operator.inputs[position] >= 0:
                index = operator.inputs[position]
                size = 1 if role == "bias" else graph.tensors[index].size
                read[index] += round(reads.get(role, 0) * size)
    return read


def constant_tensors(graph: ModelGraph) -> list[int]:
    """Returns the constants that operators read, by tensor, in the order of their first use."""
    used = [index for operator in graph.operators for index in operator.inputs]
    return [i for i in dict.fromkeys(used) if i >= 0 and graph.tensors[i].constant]
