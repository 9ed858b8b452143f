"""Opens a model in a process of its own: TFLM aborts on some files, and this one may.

Reads the model from standard input; ``python -m mcuformer_tflm.runtime.probe ARENA_SIZE
PLANNER``. What TFLM took goes to standard output as JSON, its messages to standard error.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from mcuformer_tflm.search.tflm_arena import PlannerName

_STEP = 16


def main() -> None:
    """Allocates, runs once on zeros, prints head, tail and the smallest arena in bytes."""
    from mcuformer_tflm.plan.planner import read_plan
    from mcuformer_tflm.runtime.input_source import input_source, reads_strips
    from mcuformer_tflm.runtime.tflm import open_planned
    from mcuformer_tflm.tflite.model_graph import read_graph

    model, arena_size = sys.stdin.buffer.read(), int(sys.argv[1])
    planner = cast(PlannerName, sys.argv[2])
    interpreter = open_planned(model, arena_size, planner)
    graph = read_graph(model)
    source = graph.tensors[graph.inputs[0]]
    _, _, width, channels = source.shape
    with input_source(lambda row, rows: np.zeros((rows, width, channels))):
        if not reads_strips(graph):
            interpreter.set_input(np.zeros(source.shape, source.dtype), 0)
        interpreter.invoke()
    use = measure(interpreter, planner)
    least = read_plan(graph).head_bytes
    use["smallest_arena"] = _smallest_arena(model, least, arena_size, planner)
    print(json.dumps(use))


def measure(interpreter: Any, planner: PlannerName) -> dict[str, int]:
    """Returns the bytes of ``head`` and ``tail`` that an open interpreter takes."""
    if planner == "mcuformer":
        return {"head": interpreter.head, "tail": interpreter.tail}
    with _standard_error() as record:
        interpreter.print_allocations()
    found = dict(re.findall(r"Arena allocation (head|tail) (\d+) bytes", record[0]))
    return {"head": int(found["head"]), "tail": int(found["tail"])}


def _smallest_arena(model: bytes, too_small: int, enough: int, planner: PlannerName) -> int:
    # TFLM needs room to plan beside what it keeps, so head + tail may be too little.
    from mcuformer_tflm.keras_models.exceptions import ModelError
    from mcuformer_tflm.runtime.tflm import open_planned

    too_small, enough = too_small // _STEP, -(-enough // _STEP)
    with _standard_error():
        while enough - too_small > 1:
            middle = (enough + too_small) // 2
            try:
                open_planned(model, middle * _STEP, planner)
                enough = middle
            except ModelError:
                too_small = middle
    return enough * _STEP


@contextmanager
def _standard_error() -> Iterator[list[str]]:
    # What TFLM writes to descriptor 2 meanwhile; the list holds it afterwards.
    saved, record = os.dup(2), [""]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record"
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
            try:
                yield record
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                record[0] = path.read_text(errors="replace")


if __name__ == "__main__":
    main()
