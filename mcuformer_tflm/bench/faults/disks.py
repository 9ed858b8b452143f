"""Full and read-only disks: an error of ours each time; with room again all goes on."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.faults.forks import Ending, fork
from mcuformer_tflm.bench.faults.jobs import JOBS, load, prepare, remains
from mcuformer_tflm.bench.faults.kills import found, run_job
from mcuformer_tflm.bench.faults.result import CampaignResult, Effort, Tally
from mcuformer_tflm.keras_models.exceptions import McuformerError, ToolchainError
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import model_path

# Sizes of disk on which each job runs full.
_SIZES: dict[Effort, int] = {"short": 1, "long": 8}
# The least, on which it may at least begin, and one that is ample, in KiB.
_LEAST, _AMPLE = 8, 64 * 1024
_SECONDS = 1800.0
_MODEL = "fashion_mnist_16k"
# sched.h
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000


def run(effort: Effort, report: Report) -> CampaignResult:
    """Runs jobs and commands on disks that have too little room, or become read-only.

    The disks are file systems in memory, mounted for a process of ours alone.

    Args:
        effort: One size of disk for each job, or 8.
        report: Called with (what is being done, done, total).

    Raises:
        ToolchainError: If this system lets no process mount.
    """
    load()
    tally, rng, sizes = Tally(), np.random.default_rng(0), _SIZES[effort]
    total = len(COMMANDS) * 2 + len(JOBS) * (sizes + 1)
    done = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, command in COMMANDS.items():
            for fault in ("full", "read-only"):
                ending = _apart(functools.partial(_try_command, command, fault), folder)
                tally.count(f"{what} on a {fault} disk", ending.problem)
                report("disks", done := done + 1, total, what)
        for what, job in JOBS.items():
            whole = folder / f"{what}-whole"
            problem = run_job(job, whole, _SECONDS).problem
            if problem is not None:
                tally.count(f"{what} on a good disk", problem)
                continue
            wanted = found(whole)
            used = max(_LEAST, _kib(whole))
            faults = [
                ("full", max(_LEAST, int(used * share))) for share in rng.uniform(0, 0.9, sizes)
            ]
            for fault, size in [*faults, ("read-only", _AMPLE)]:
                ending = _apart(functools.partial(_try_job, job, size, fault, wanted), folder)
                tally.count(f"{what} on a {fault} disk of {size} KiB", ending.problem)
                report("disks", done := done + 1, total, what)
    return tally.result()


def _apart(work: Callable[[Path], None], folder: Path) -> Ending:
    """Does the work where mounts are its own; it is given the folder to mount at."""

    def alone() -> None:
        leave_mounts()
        disk = folder / "disk"
        disk.mkdir(exist_ok=True)
        work(disk)

    return fork(alone, 3 * _SECONDS, folder / "log")


def leave_mounts() -> None:
    """Gives this process mounts of its own.

    Raises:
        ToolchainError: If this system does not.
    """
    # unshare(2): as root a space of mounts, else with one of users, in which we are root.
    system = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if system.unshare(_NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USER):
        raise ToolchainError(
            f"This system lets no process mount ({os.strerror(ctypes.get_errno())}): run the "
            "campaign as root, or allow user namespaces."
        )
    if user:
        Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="utf-8")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="utf-8")
    _mount("--make-rprivate", "/")


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _try_command(command: list[str], fault: str, disk: Path) -> None:
    """Raises SystemExit with what was not as promised."""
    _mount("-t", "tmpfs", "-o", f"size={_LEAST}k", "none", disk)
    if fault == "read-only":
        _mount("-o", "remount,ro", disk)
    else:
        # All but a page, so that files can be made, and hold nothing.
        (disk / "ballast").write_bytes(bytes((_LEAST - 4) << 10))
    words = [
        w.replace("MODEL", str(model_path(_MODEL))).replace("DISK", str(disk)) for w in command
    ]
    result = subprocess.run(
        [sys.executable, "-m", "mcuformer_tflm.cli", *words],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if result.returncode != 1 or not result.stderr.startswith("Error: "):
        raise SystemExit(f"status {result.returncode}: {(result.stdout + result.stderr)[-300:]}")
    if str(disk) not in result.stderr:
        raise SystemExit(f"the place is not named: {result.stderr}")
    left = [path.name for path in disk.rglob("*") if path.name != "ballast"]
    if left:
        raise SystemExit(f"left {', '.join(left)}")


def _try_job(job: Callable, size: int, fault: str, wanted: object, disk: Path) -> None:
    """Raises SystemExit with what was not as promised."""
    _mount("-t", "tmpfs", "-o", f"size={size}k", "none", disk)
    place = disk / "job"

    def refused() -> None:
        prepare()
        try:
            job(place)
        except McuformerError as error:
            if str(disk) not in str(error):
                raise SystemExit(f"the place is not named: {error}") from error
        else:
            raise SystemExit("ended as if nothing were")

    if fault == "read-only":
        place.mkdir()
        _mount("-o", "remount,ro", disk)
    log = disk.parent / "refused"
    ending = fork(refused, _SECONDS, log)
    if ending.problem is not None:
        raise SystemExit(ending.problem)
    _mount("-o", f"remount,rw,size={_AMPLE}k", disk)
    ending = run_job(job, place, _SECONDS)
    if ending.problem is not None:
        raise SystemExit(f"does not go on: {ending.problem}")
    if found(place) != wanted:
        raise SystemExit(f"found {found(place)}, and on a good disk {wanted}")
    if left := remains(place):
        raise SystemExit(f"left {', '.join(left)}")


def _kib(folder: Path) -> int:
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file()) // 2


COMMANDS = {
    "plan --picture .svg": ["plan", "MODEL", "--picture", "DISK/map.svg"],
    "plan --picture .png": ["plan", "MODEL", "--picture", "DISK/map.png"],
    "firmware": ["firmware", "MODEL", "--out", "DISK/project"],
    "zoo save": ["zoo", "save", _MODEL, "DISK/model.tflite"],
}
