"""Other processes and the clock: two at one project, a worker that hangs, a chief that dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.faults.forks import fork, start, wait
from mcuformer_tflm.bench.faults.jobs import JOBS, distributed_search, load, prepare, remains
from mcuformer_tflm.bench.faults.kills import found, run_job
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.progress import Report

_TIMES: dict[Effort, int] = {"short": 1, "long": 5}
_SECONDS = 1800.0
# Jobs that lock where they work.
_LOCKING = ("search", "zoo", "report")
_YEAR = 3.2e7
_TRIALS = 4


def run(effort: Effort, report: Report) -> CampaignResult:
    """Starts a second process beside a first, lets the clock jump, and stops chief and worker.

    Args:
        effort: Each once, or 5 times.
        report: Called with (what is being done, done, total).
    """
    load()
    tally, times = Tally(), _TIMES[effort]
    faults: dict[str, Callable[[Path], str | None]] = {
        **{f"two processes at one {name}": two_of(name) for name in _LOCKING},
        "a clock that jumps": _jumping_clock,
        "a worker that hangs": _hanging_worker,
        "a chief that dies": _dying_chief,
    }
    for number in range(times):
        for place, (what, plant) in enumerate(faults.items()):
            with tempfile.TemporaryDirectory() as folder:
                tally.count(what, plant(Path(folder)))
            report("processes", number * len(faults) + place + 1, times * len(faults), what)
    return tally.result()


def two_of(name: str) -> Callable[[Path], str | None]:
    """Returns what starts two processes at a job, and tells what was wrong."""
    job = JOBS[name]

    def plant(folder: Path) -> str | None:
        place = folder / "job"
        place.mkdir(parents=True)

        def begin() -> None:
            prepare()
            job(place)

        while True:
            first = start(begin, folder / "first")
            while not _held(place):
                time.sleep(0.01)
                if os.waitid(os.P_PID, first, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return f"the first never locked: {wait(first, 1, folder / 'first').told[-300:]}"
            os.kill(first, signal.SIGSTOP)
            if _held(place):
                break
            os.kill(first, signal.SIGKILL)  # it had just let go
            wait(first, _SECONDS, folder / "first", kill=True)

        def second() -> None:
            prepare()
            try:
                job(place)
            except ConfigError as error:
                if f"in use by process {first} on {socket.gethostname()}" not in str(error):
                    raise
            else:
                raise SystemExit("both went on")

        problem = fork(second, _SECONDS, folder / "second").problem
        os.kill(first, signal.SIGKILL)
        wait(first, _SECONDS, folder / "first", kill=True)
        problem = problem or run_job(job, place, _SECONDS).problem
        return problem or (f"left {left}" if (left := remains(place)) else None)

    return plant


def _held(place: Path) -> bool:
    """Tells whether a lock in a folder already names who has it."""
    with contextlib.suppress(FileNotFoundError):  # just let go
        return any(lock.stat().st_size for lock in place.rglob(".lock"))
    return False


def _jumping_clock(folder: Path) -> str | None:
    """Python's clock of the day jumps by up to a year, back and forth, whenever it is read."""
    problem = run_job(JOBS["report"], folder / "whole", _SECONDS).problem
    if problem is not None:
        return problem
    read, rng = time.time, np.random.default_rng(0)

    def jump(place: Path) -> dict:
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, time, "time", read)
            time.time = lambda: read() + rng.uniform(-_YEAR, _YEAR)
            return JOBS["report"](place)

    problem = run_job(jump, folder / "jumped", _SECONDS).problem
    if problem is None and found(folder / "jumped") != found(folder / "whole"):
        problem = f"found {found(folder / 'jumped')}, and {found(folder / 'whole')} otherwise"
    return problem


class _Search:
    """A chief and two workers at one search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, int] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, who: str) -> int:
        """Starts one of them, and returns its process."""

        def work() -> None:
            os.environ |= {
                "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(self.port),
                "KERASTUNER_TUNER_ID": who,
            }  # fmt: skip
            prepare()
            distributed_search(self.folder)

        self.processes[who] = start(work, self.folder / f"{who}.log")
        return self.processes[who]

    def begun(self) -> str | None:
        """Waits until some trial has begun; returns what was wrong with one that ended before."""
        while not list(self.folder.glob("spaces/trial_*/trial.json")):
            for who, process in self.processes.items():
                if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    problem = self.end(who) or f"{who} ended before any trial began"
                    for other in list(self.processes):
                        self.kill(other)
                    return problem
            time.sleep(0.05)
        return None

    def end(self, who: str) -> str | None:
        """Waits for one's end, and returns what was wrong with it."""
        log = self.folder / f"{who}.log"
        problem = wait(self.processes.pop(who), _SECONDS, log).problem
        return None if problem is None else f"{who}: {problem}"

    def kill(self, who: str) -> None:
        """Kills one."""
        process = self.processes.pop(who)
        os.kill(process, signal.SIGKILL)
        wait(process, _SECONDS, self.folder / f"{who}.log", kill=True)


def _hanging_worker(folder: Path) -> str | None:
    """It is stopped in its first trial, and goes on when the others have finished."""
    search = _Search(folder)
    search.start("chief")
    hanging = search.start("worker-0")
    if (problem := search.begun()) is not None:
        return problem
    os.kill(hanging, signal.SIGSTOP)
    search.start("worker-1")
    problem = search.end("worker-1") or search.end("chief")
    search.kill("worker-0")
    return problem or _unless_all_trials(folder)


def _dying_chief(folder: Path) -> str | None:
    """It is killed while a worker trains, and started again."""
    search = _Search(folder)
    search.start("chief")
    search.start("worker-0")
    if (problem := search.begun()) is not None:
        return problem
    search.kill("chief")
    search.start("chief")
    problem = search.end("worker-0") or search.end("chief")
    return problem or _unless_all_trials(folder)


def _unless_all_trials(folder: Path) -> str | None:
    trials = [
        json.loads(p.read_text(encoding="utf-8")) for p in folder.glob("spaces/trial_*/trial.json")
    ]
    ended = [trial["status"] for trial in trials]
    return None if ended == ["COMPLETED"] * _TRIALS else f"the trials ended as {ended}"
