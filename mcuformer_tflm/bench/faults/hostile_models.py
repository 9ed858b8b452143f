"""Damaged models through every door: each ends in an error of ours, or in a run that is right.

Mutants (``model_mutants``) of five models go through what ``mcuformer plan``, ``verify``,
``firmware`` and ``emulate`` do. One is lost where a foreign error comes out, where it takes more
than 20 s of a processor or more memory than a worker may have, where the process dies, or where
the same model gives two answers: from two interpreters, from the two planners, or as C++.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import queue
import resource
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from mcuformer_tflm.bench.faults.forks import fork
from mcuformer_tflm.bench.faults.model_mutants import DAMAGES, mutant
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.keras_models.exceptions import McuformerError, ModelError
from mcuformer_tflm.runtime import micro_interpreter
from mcuformer_tflm.runtime import probe as probing
from mcuformer_tflm.runtime.probe import ArenaUse, try_model
from mcuformer_tflm.runtime.probe import probe as _own_probe
from mcuformer_tflm.search.cost.tflm_arena import PlannerName
from mcuformer_tflm.search.progress import Report

SECONDS = 20
RAN = "ran"
_MUTANTS: dict[Effort, int] = {"short": 440, "long": 10_000}
# Of a processor, before a worker is killed; and of the wall's clock, since others may have it.
_MOST_SECONDS = 3 * SECONDS
_KILLED_AFTER = 600
_WORKER_BYTES = 6 << 30
# One mutant in so many is opened in a new process, as users' models are; the others in a fork.
_PROBED = 25
# A further worker, which imports everything anew, is worth it for so many.
_A_WORKER = 50
# Of mutants that run: one in so many is compiled and emulated, which takes a second or two each.
_EMULATED = 12
# Of a firmware only the model is compiled anew then.
_COMPILED_ONCE = {
    "CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CMAKE_ASM_COMPILER_LAUNCHER": "ccache",
    "CCACHE_BASEDIR": "/", "CCACHE_NOHASHDIR": "1",
}  # fmt: skip
_BOARD = "stm32f746"
_DIED = "TFLM's process ended"
_SANITIZERS = ("AddressSanitizer", "runtime error:")


def sound_models() -> list[bytes]:
    """Returns the five models: one of the zoo, and tiny ones that have every option between them.

    The tiny ones have class token, convolutional stem, biases by position and low-rank attention;
    strips; matrices of 4 bits; and a residual stream of 16.
    """
    from mcuformer_tflm import data as datasets
    from mcuformer_tflm.bench.models import one_block_vit, random_model
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.zoo.catalogue import model_path

    small = dataclasses.replace(
        one_block_vit(), image_size=16, channels=1, patch_size=4, embed_dim=24, head_dim=8
    )
    full = dataclasses.replace(
        small, stem="conv", pooling="class_token", relative_position=True, rank_ratio=0.5,
        low_rank_attention=True,
    )  # fmt: skip
    images = datasets.fashion_mnist().train_images[:2]
    return [
        model_path("fashion_mnist_16k").read_bytes(),
        random_model(full, images),
        random_model(small, images, image="strips"),
        random_model(small, images, quantization=QuantizationConfig(weight_bits=4)),
        random_model(
            dataclasses.replace(small, rank_ratio=0.5),
            images,
            quantization=QuantizationConfig(residual_bits=16),
        ),
    ]


def run(effort: Effort, report: Report) -> CampaignResult:
    """Takes mutants of five models through every door.

    Args:
        effort: 440 mutants, or 10,000.
        report: Called with (what is being done, done, total).
    """
    # Made in another process, since this one may fork, and TensorFlow's threads do not.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        models = pool.submit(sound_models).result()
    return try_mutants(models, 0, range(_MUTANTS[effort]), report)


def try_mutants(
    models: Sequence[bytes], seed: int, indices: Sequence[int], report: Report
) -> CampaignResult:
    """Takes mutants through every door, in worker processes, a core each, that may die of them.

    Args:
        models: Sound ones.
        seed: Of all mutants.
        indices: Which.
        report: Called with (what is being done, done, total).
    """
    tally, slowest, emulated = Tally(), 0.0, 0
    ends: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        workers = min(os.cpu_count() or 1, 1 + len(indices) // _A_WORKER)
        for number in range(workers):
            own = Path(folder) / str(number)
            own.mkdir()
            idle.put(stack.enter_context(_Worker(models, seed, own)))

        def ask(index: int) -> _Answer:
            worker = idle.get()
            try:
                return worker.ask(index)
            finally:
                idle.put(worker)

        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)
        for done, (index, answer) in enumerate(zip(indices, pool.map(ask, indices), strict=True)):
            tally.count(f"mutant {seed}/{index} ({answer.kind})", answer.problem)
            slowest = max(slowest, answer.seconds)
            ends[answer.kind, answer.ended] += 1
            emulated += answer.ended == RAN and index % _EMULATED == 0
            report("take mutants through every door", done + 1, len(indices))
    tally.figures["slowest"] = (round(slowest, 2), "s")
    ran = sum(count for (_, ended), count in ends.items() if ended == RAN)
    tally.figures["ran"] = (ran, "")
    tally.figures["emulated"] = (emulated, "")
    for kind in DAMAGES:
        told = ", ".join(f"{n} {end}" for (of, end), n in sorted(ends.items()) if of == kind)
        if told:
            tally.details.append(f"{kind}: {told}")
    return tally.result()


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What became of one mutant: how it ended, or what was wrong with that."""

    kind: str
    ended: str
    problem: str | None
    seconds: float


class _Worker:
    """A process that takes mutants through the doors, and a new one where it has died."""

    def __init__(self, models: Sequence[bytes], seed: int, folder: Path) -> None:
        self._arguments = (list(models), seed, folder)
        self._process: Any = None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, index: int) -> _Answer:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_work, args=(other, *self._arguments))
            self._process.start()
            other.close()
        self._pipe.send(index)
        kind = "?"
        try:
            while self._pipe.poll(_KILLED_AFTER):
                answer = self._pipe.recv()
                if isinstance(answer, _Answer):
                    return answer
                kind = answer
            why = f"no answer within {_KILLED_AFTER} s"
        except EOFError:
            self._process.join()
            why = f"its process ended with status {self._process.exitcode}"
        self._end()
        return _Answer(kind, "lost", why, 0.0)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _work(pipe: Any, models: list[bytes], seed: int, folder: Path) -> None:
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # which takes all addresses there are
        resource.setrlimit(resource.RLIMIT_AS, (_WORKER_BYTES, _WORKER_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if shutil.which("ccache") is not None:
        os.environ |= {**_COMPILED_ONCE, "CCACHE_DIR": str(folder / "ccache")}
    # What TFLM says of each mutant is no business of the campaign's reader.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            index = pipe.recv()
        except EOFError:
            return
        kind, content = mutant(models, seed, index)
        pipe.send(kind)
        probe = _own_probe if index % _PROBED == 0 else _forked_probe(folder)
        start, ended, problem = _processor_seconds(), "lost", None
        spent = int(time.process_time()) + _MOST_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
        try:
            with patch.object(micro_interpreter, "probe", probe):
                ended = take_through(content, folder, emulate=index % _EMULATED == 0)
        except BaseException as error:
            problem = _place(error)
        seconds = _processor_seconds() - start
        if seconds > SECONDS and problem is None:
            problem = f"{seconds:.0f} s of a processor"
        pipe.send(_Answer(kind, ended, problem, seconds))


def _forked_probe(folder: Path) -> Callable[..., ArenaUse]:
    # As `probe`; its new process, which imports everything, would take most of the time.
    def probe(model: bytes, arena_size: int, planner: PlannerName) -> ArenaUse:
        told = folder / "told"
        told.unlink(missing_ok=True)

        def work() -> None:
            try:
                # Searching for the smallest arena takes twenty forks and more.
                with patch.object(probing, "_smallest_arena", lambda *sizes: sizes[-1]):
                    answer: dict[str, Any] = dict(try_model(model, arena_size, planner))
            except (McuformerError, MemoryError, RuntimeError) as error:
                answer = {"error": str(error)}
            told.write_text(json.dumps(answer), encoding="utf-8")

        ending = fork(work, _KILLED_AFTER, folder / "log")
        if any(sign in ending.told for sign in _SANITIZERS):
            raise AssertionError(ending.told[:2000])
        if ending.status == 1:  # a foreign error of Python's, which no probe may end with
            raise AssertionError(ending.told[-2000:])
        if ending.problem is not None:
            raise ModelError(f"{_DIED}: {ending.problem}")
        answer = json.loads(told.read_text(encoding="utf-8"))
        if "error" in answer:
            raise ModelError(answer["error"])
        return ArenaUse(**answer)

    return probe


def _processor_seconds() -> float:
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _place(error: BaseException) -> str:
    found = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in found if "mcuformer_tflm" in frame.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:2000]}"


def take_through(model: bytes, folder: Path, *, emulate: bool = False) -> str:
    """Takes a model through what the commands do with it.

    Args:
        model: Any bytes.
        folder: For what is written.
        emulate: Whether to compile its firmware and run it on an emulated core too, if it runs.

    Returns:
        ``ran``, or the name of the error of ours with which ``MicroInterpreter`` refused it, and
        whether only since TFLM had died of it in a process of its own.

    Raises:
        AssertionError: If two runs of it differ.
        Exception: Whatever is no error of ours.
    """
    for door in (_plan, _firmware):
        with contextlib.suppress(McuformerError):
            door(model, folder)
    try:
        expected = _run(model)
    except McuformerError as error:
        return f"{type(error).__name__}{', died in its probe' if _DIED in str(error) else ''}"
    if emulate:
        _emulate(model, expected)
    return RAN


def _plan(model: bytes, folder: Path) -> None:
    from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
    from mcuformer_tflm.plan.cost import estimate_graph_cost
    from mcuformer_tflm.plan.planner import plan_memory, read_plan
    from mcuformer_tflm.plan.schedule import describe_schedule
    from mcuformer_tflm.plan.terminal import buffer_table, plan_map
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
    from mcuformer_tflm.search.board import get_board

    board = get_board(_BOARD)
    graph = read_our_graph(model)
    plan = read_plan(graph)
    buffer_table(plan, graph)
    describe_schedule(graph)
    plan_map(plan, graph, width=80, ascii_only=True)
    cortex_m_arena_bytes(graph, plan)
    cortex_m_arena_bytes(graph, plan, planner="tflm")
    estimate_graph_cost(graph, board)
    plan_memory(graph, board)


def _firmware(model: bytes, folder: Path) -> None:
    from mcuformer_tflm.firmware.project import export_firmware
    from mcuformer_tflm.firmware.source import write_source
    from mcuformer_tflm.tflite.model_graph import read_graph

    project = folder / "project"
    placement = export_firmware(model, _BOARD, project)
    again = write_source(model, read_graph(model), placement.plan, set(placement.external))
    for name, content in (
        ("model.cc", again.model), ("model_shape.h", again.shape), ("constants.S", again.assembly),
        ("constants.bin", again.constants),
    ):  # fmt: skip
        wanted = content if isinstance(content, bytes) else content.encode()
        assert (project / name).read_bytes() == wanted, f"two exports differ in {name}"


def _pictures(shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-128, 128, (1, *shape), np.int8)
    return np.concatenate([noise, np.zeros_like(noise)])


def _run(model: bytes) -> list[np.ndarray]:
    from mcuformer_tflm.runtime.classifier import Classifier
    from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
    from mcuformer_tflm.runtime.tflm import open_planned
    from mcuformer_tflm.tflite.image_input import image_shape, reads_strips

    interpreter = MicroInterpreter(model)
    graph, plan = interpreter.graph, interpreter.plan
    pictures = _pictures(image_shape(graph))
    expected = list(interpreter.run_outputs(pictures).values())
    outputs = [graph.tensors[index] for index in graph.outputs]
    for planner in ("mcuformer", "tflm"):
        arena = max(1 << 24, 2 * plan.head_bytes + (1 << 20))
        again = open_planned(model, arena, planner, graph=graph, plan=plan)
        found = Classifier(again, outputs, reads_strips(graph)).run(pictures)
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one, other), f"two runs differ, the other under {planner}"
    return expected


def _emulate(model: bytes, expected: Sequence[np.ndarray]) -> None:
    from mcuformer_tflm.firmware.emulation import emulate_firmware
    from mcuformer_tflm.tflite.image_input import image_shape
    from mcuformer_tflm.tflite.model_graph import read_graph

    pictures = _pictures(image_shape(read_graph(model)))
    try:
        found = emulate_firmware(model, _BOARD, pictures)
    except McuformerError:
        return
    assert found.equal == len(pictures), "the emulated core gives other bytes than TFLM"
