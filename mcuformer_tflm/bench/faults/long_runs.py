"""Long runs: nothing grows, however often a model is run, opened, shared or forked."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.faults.forks import fork
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import model_path

_MODEL = "fashion_mnist_16k"
_PICTURES = 10
_THREADS = 8
_FORKS = 4
# At least so often, since the allocator keeps a freed arena or two.
_WARM = 4
_FORK_SECONDS = 120
# What may come on top after the warm-up, once: the allocator's own stock.
_STOCK_BYTES = 1 << 20
_MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class _Work:
    invocations: int
    interpreters: int


_WORK: dict[Effort, _Work] = {"short": _Work(2_000, 20), "long": _Work(100_000, 1_000)}


def run(effort: Effort, report: Report) -> CampaignResult:
    """Runs one model many times, opens it many times, shares it among threads, and forks.

    Each answer is compared with the first. After each stretch memory, descriptors and children are
    compared with those after its first tenth.

    Args:
        effort: 2,000 inferences and 20 interpreters, or 100,000 and 1,000.
        report: Called with (what is being done, done, total).
    """
    work, tally = _WORK[effort], Tally()
    path = model_path(_MODEL)
    interpreter = MicroInterpreter(path)
    shape = (_PICTURES, *interpreter.graph.tensors[interpreter.graph.inputs[0]].shape[1:])
    pictures = np.random.default_rng(0).integers(-128, 128, shape, np.int8)
    wanted = interpreter.run(pictures)

    def compare(what: str, found: np.ndarray) -> None:
        right = int((found == wanted).all(axis=1).sum())
        tally.count(what, None, times=right)
        tally.count(what, "another answer than the first", times=len(wanted) - right)

    def invoke() -> None:
        compare("inference", interpreter.run(pictures))

    def reopen() -> None:
        found = MicroInterpreter(path).run(pictures[:1])
        same = np.array_equal(found, wanted[:1])
        tally.count("interpreter", None if same else "another answer than the first")

    stretches: tuple[tuple[str, Callable[[], None], int], ...] = (
        ("run a model", invoke, work.invocations // _PICTURES),
        ("open a model", reopen, work.interpreters),
    )
    for label, step, times in stretches:
        repeat(label, step, times, tally, report)
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(interpreter.run, [pictures] * _THREADS):
            compare("inference in threads that share an interpreter", found)
        for found in pool.map(lambda _: MicroInterpreter(path).run(pictures), range(_THREADS)):
            compare("inference in threads with an interpreter each", found)

    def run_in_fork() -> None:
        for name, other in (("the same", interpreter), ("a new", MicroInterpreter(path))):
            if not np.array_equal(other.run(pictures), wanted):
                raise SystemExit(f"{name} interpreter gave another answer")

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_FORKS):
            ending = fork(run_in_fork, _FORK_SECONDS, Path(folder) / "log")
            tally.count("fork after load", ending.problem)
    compare("inference after forks", interpreter.run(pictures))
    return tally.result()


def repeat(label: str, step: Callable[[], None], times: int, tally: Tally, report: Report) -> None:
    """Does something many times, and counts whether it grew after the first tenth.

    Args:
        label: What is done.
        step: Does it once.
        times: How often.
        tally: Is told the bytes that were grown by, and whether that is as promised.
        report: Called with (what is being done, done, total).
    """
    warm = max(_WARM, times // 10)
    for _ in range(warm):
        step()
    before = _Use.now()
    for number in range(warm, times):
        step()
        report(label, number + 1, times)
    after = _Use.now()
    grown = after.resident - before.resident
    tally.figures[f"bytes_grown_{label.replace(' ', '_')}"] = (grown, "bytes")
    problem = None
    if grown > _STOCK_BYTES:
        problem = f"{grown / _MIB:.1f} MiB more memory after {times - warm} times"
    for what in ("descriptors", "children", "threads"):
        if getattr(after, what) > getattr(before, what):
            problem = f"{getattr(before, what)} {what} became {getattr(after, what)}"
    tally.count(f"growth while it did {times} times: {label}", problem)


@dataclasses.dataclass(frozen=True)
class _Use:
    """What this process has of the machine; ``resident`` in bytes."""

    resident: int
    descriptors: int
    children: int
    threads: int

    @classmethod
    def now(cls) -> _Use:
        own = Path("/proc/self")
        pages = int((own / "statm").read_text(encoding="utf-8").split()[1])
        tasks = list((own / "task").iterdir())
        children = sum(
            len((task / "children").read_text(encoding="utf-8").split()) for task in tasks
        )
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(own / "fd")), children, len(tasks)
        )
