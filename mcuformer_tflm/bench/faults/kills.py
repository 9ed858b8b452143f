"""Power cuts: long jobs are killed at random moments, and end as if they had not been."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.faults.forks import Ending, fork
from mcuformer_tflm.bench.faults.jobs import JOBS, Job, load, prepare, remains
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.progress import Report

# Kills of each job; several hit one run.
_KILLS: dict[Effort, int] = {"short": 2, "long": 10}
_A_RUN = 2
_SECONDS = 1800.0
# A run may be over before its moment comes.
_MISSES = 5
_FOUND, _LOG = "found.json", "log"


def run(effort: Effort, report: Report) -> CampaignResult:
    """Kills each job with SIGKILL, goes on with it, and compares its end with an uninterrupted one.

    Besides, nothing may be left that looks like part of a file, or a lock.

    Args:
        effort: 2 kills of each job, or 10.
        report: Called with (what is being done, done, total).
    """
    load()
    tally, rng, kills = Tally(), np.random.default_rng(0), _KILLS[effort]
    total = kills * len(JOBS)
    for place, (name, job) in enumerate(JOBS.items()):
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole"
            start = time.monotonic()
            problem = run_job(job, whole, _SECONDS).problem
            seconds = time.monotonic() - start
            if problem is not None:
                tally.count(f"{name} without a kill", problem)
                continue
            wanted, done, misses = found(whole), 0, 0
            while done < kills and misses < _MISSES:
                cut = Path(folder) / f"cut-{done}-{misses}"
                planned = min(_A_RUN, kills - done)
                hits, lasted, problem = _killed_run(job, cut, planned, seconds, rng)
                if hits == 0:
                    # No longer is needed since others have left the machine.
                    misses, seconds = misses + 1, min(seconds, lasted)
                if problem is None and found(cut) != wanted:
                    problem = f"found {found(cut)}, and without a kill {wanted}"
                if problem is None and (left := remains(cut)):
                    problem = f"left {', '.join(left)}"
                tally.count(f"{hits} kills of {name}", problem, times=hits)
                done += hits
                report("kill and go on", place * kills + done, total, name)
    return tally.result()


def run_job(job: Job, folder: Path, seconds: float, *, kill: bool = False) -> Ending:
    """Runs a job in a fork, in a folder where it may have begun before.

    Args:
        job: One of ``JOBS``.
        folder: Where it works; what it found is kept there.
        seconds: As for ``fork``.
        kill: As for ``fork``.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def work() -> None:
        prepare()
        write_whole(folder / _FOUND, json.dumps(job(folder)))

    return fork(work, seconds, folder / _LOG, kill=kill)


def found(folder: Path) -> object:
    """Returns what a job that has ended found, as JSON has it."""
    return json.loads((folder / _FOUND).read_text(encoding="utf-8"))


def _killed_run(
    job: Job, folder: Path, kills: int, seconds: float, rng: np.random.Generator
) -> tuple[int, float, str | None]:
    """Returns how often it was killed, how long its last start lasted, and what was wrong."""
    hits = 0
    while hits < kills:
        start = time.monotonic()
        ending = run_job(job, folder, rng.uniform(0.02, 0.95) * seconds, kill=True)
        if not ending.killed:
            return hits, time.monotonic() - start, ending.problem
        hits += 1
    return hits, seconds, run_job(job, folder, _SECONDS).problem
