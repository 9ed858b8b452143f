"""Opens a model in a process of its own: TFLM aborts on some files, and this one may.

The process is ``python -m mcuformer_tflm.runtime.probe ARENA_SIZE PLANNER``, with the model on
standard input. What TFLM took, or why it took nothing, goes to standard output as JSON; TFLM's
own messages go to standard error.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.keras_models.exceptions import McuformerError, ModelError, RuntimeVersionError
from mcuformer_tflm.keras_models.untrusted_files import PROBE_SECONDS
from mcuformer_tflm.search.cost.tflm_arena import PLANNERS, PlannerName

# TFLM takes its arena in such steps.
ARENA_STEP = 16
# Descriptor 2 belongs to the whole process.
_DESCRIPTOR = threading.Lock()


@dataclasses.dataclass(frozen=True)
class ArenaUse:
    """What TFLM took from the arena on this machine (64-bit: more than on Cortex-M).

    Attributes:
        head: Bytes of tensors and scratch, which follow the plan.
        tail: Bytes of TFLM's own persistent data.
        smallest_arena: The smallest arena, in steps of 16 bytes, in which TFLM opens the
            model: head and tail, or more where planning needs more room than the head.
    """

    head: int
    tail: int
    smallest_arena: int

    @property
    def total(self) -> int:
        """Head and tail together, in bytes."""
        return self.head + self.tail


def probe(model: bytes, arena_size: int, planner: PlannerName) -> ArenaUse:
    """Opens and runs a model in a process of its own.

    Args:
        model: Bytes of a model that carries a memory plan.
        arena_size: Bytes of its arena.
        planner: As for ``open_planned``.

    Raises:
        ConfigError: If there is no such planner.
        ModelError: If TFLM refuses the model, with TFLM's reason, or does not come back.
        RuntimeVersionError: If the installed TFLM is not supported.
    """
    checked_choice("planner", planner, PLANNERS)
    refused = f"TFLM refused the model with an arena of {arena_size:,} bytes"
    try:
        result = subprocess.run(
            [sys.executable, "-m", "mcuformer_tflm.runtime.probe", str(arena_size), planner],
            input=model,
            capture_output=True,
            timeout=PROBE_SECONDS,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{refused}: no answer within {PROBE_SECONDS} seconds.") from error
    told = tflm_messages(result.stderr.decode(errors="replace"))
    if result.returncode != 0:
        # Where it aborts its last words are the reason; else the first, from which others follow.
        raise ModelError(f"{refused}: {(told or [_ending(result.returncode)])[-1]}")
    answer = json.loads(result.stdout.splitlines()[-1])
    if answer.get("error") == RuntimeVersionError.__name__:
        raise RuntimeVersionError(answer["message"])
    if "error" in answer:
        raise ModelError(f"{refused}: {(told or [answer['message']])[0]}")
    return ArenaUse(**answer)


def tflm_messages(record: str) -> list[str]:
    """Returns the lines of TFLM's messages, each as a sentence."""
    lines = (line.strip() for line in record.splitlines())
    return [line if line.endswith(".") else f"{line}." for line in lines if line]


def _ending(status: int) -> str:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return f"Its process ended with {how}."


def main() -> None:
    """Tries the model of standard input and prints the answer for ``probe``."""
    model, arena_size = sys.stdin.buffer.read(), int(sys.argv[1])
    try:
        answer: dict[str, Any] = try_model(model, arena_size, cast(PlannerName, sys.argv[2]))
    except (McuformerError, MemoryError, RuntimeError) as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer))


def try_model(model: bytes, arena_size: int, planner: PlannerName) -> dict[str, int]:
    """Allocates in this process and runs on an even image and on noise.

    Returns:
        The fields of ``ArenaUse``.

    Raises:
        ModelError: If TFLM refuses the model; or it ends this process, which ``probe`` is for.
    """
    from mcuformer_tflm.plan.planner import read_plan
    from mcuformer_tflm.runtime.classifier import Classifier
    from mcuformer_tflm.runtime.tflm import open_planned
    from mcuformer_tflm.tflite.image_input import image_shape, reads_strips
    from mcuformer_tflm.tflite.model_graph import read_graph

    checked_choice("planner", planner, PLANNERS)
    graph = read_graph(model)
    plan = read_plan(graph)
    interpreter = open_planned(model, arena_size, planner, graph=graph, plan=plan)
    noise = np.random.default_rng(0).integers(-128, 128, image_shape(graph), np.int8)
    outputs = [graph.tensors[index] for index in graph.outputs]
    Classifier(interpreter, outputs, reads_strips(graph)).run(np.stack([noise * 0, noise]))
    use = measure(interpreter, planner)

    def opens(size: int) -> bool:
        # In a fork: TFLM goes on preparing where its list of scratch has no room to grow, and the
        # list then overwrites what operators keep.
        child = os.fork()
        if child == 0:
            status = 1
            try:
                open_planned(model, size, planner, graph=graph, plan=plan)
                status = 0
            finally:
                os._exit(status)
        return os.waitpid(child, 0)[1] == 0

    use["smallest_arena"] = _smallest_arena(opens, plan.head_bytes, arena_size)
    return use


def measure(interpreter: Any, planner: PlannerName) -> dict[str, int]:
    """Returns the bytes of ``head`` and ``tail`` that an open interpreter takes."""
    checked_choice("planner", planner, PLANNERS)
    if planner == "mcuformer":
        return {"head": interpreter.head, "tail": interpreter.tail}
    with standard_error() as record:
        interpreter.print_allocations()
    found = dict(re.findall(r"Arena allocation (head|tail) (\d+) bytes", record[0]))
    return {"head": int(found["head"]), "tail": int(found["tail"])}


def _smallest_arena(opens: Callable[[int], bool], too_small: int, enough: int) -> int:
    # TFLM needs room to plan beside what it keeps, so head + tail may be too little.
    too_small, enough = too_small // ARENA_STEP, -(-enough // ARENA_STEP)
    with standard_error():
        while enough - too_small > 1:
            middle = (enough + too_small) // 2
            if opens(middle * ARENA_STEP):
                enough = middle
            else:
                too_small = middle
    return enough * ARENA_STEP


@contextmanager
def standard_error() -> Iterator[list[str]]:
    """Keeps what TFLM writes to descriptor 2 meanwhile; the list holds it afterwards."""
    record = [""]
    with _DESCRIPTOR, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record"
        saved = os.dup(2)
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
            try:
                yield record
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                record[0] = path.read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    main()
