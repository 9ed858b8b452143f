"""Work in a fork of this process, which may be killed, may hang, and costs no import."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a fork ended.

    Attributes:
        status: Its exit status, 0 where the work returned; negative: the signal that ended it.
        hung: Whether it was ended because its time was over.
        told: What it wrote to standard error.
    """

    status: int
    hung: bool
    told: str

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL

    @property
    def problem(self) -> str | None:
        """What went wrong, in words; None where the work returned."""
        if self.hung:
            return "hung"
        if self.status:
            how = f"status {self.status}" if self.status > 0 else signal.Signals(-self.status).name
            return f"{how}: {' '.join(self.told.split())[-300:]}".rstrip(": ")
        return None


def start(work: Callable[[], object], log: Path) -> int:
    """Begins the work in a fork, and returns its process. Where it raises the status is 1.

    Args:
        work: What to do.
        log: File of what it writes to either stream.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            for number in (1, 2):
                os.dup2(file, number)
            # Whoever has put something else in their place is the parent.
            sys.stdout, sys.stderr = (
                os.fdopen(n, "w", encoding="utf-8", closefd=False) for n in (1, 2)
            )
            work()
            status = 0
        except SystemExit as leaving:
            told = leaving.code
            status = told if isinstance(told, int) else int(told is not None)
            if isinstance(told, str):
                print(told, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            # At once, without this process's clean-up, which is the parent's.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return child


def wait(child: int, seconds: float, log: Path, *, kill: bool = False) -> Ending:
    """Waits for the end of what ``start`` began, and brings it about where it does not come.

    Args:
        child: The process.
        seconds: How long it may take.
        log: As for ``start``.
        kill: Whether to be killed then is what is tried, and no hang.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        os.kill(child, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    # Without taking its end in yet, so that the timer never meets another process of its number.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    timer.cancel()
    timer.join()
    _, status = os.waitpid(child, 0)
    record = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Ending(os.waitstatus_to_exitcode(status), late.is_set() and not kill, record)


def fork(work: Callable[[], object], seconds: float, log: Path, *, kill: bool = False) -> Ending:
    """Does the work in a fork and waits for its end: ``start`` and ``wait``."""
    return wait(start(work, log), seconds, log, kill=kill)
