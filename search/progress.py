"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mcuformer_tflm.keras_models.foreign_text import allowed


class Report(Protocol):
    """Is told how far something has come."""

    def __call__(self, label: str, done: int, total: int, info: str = "") -> None:
        """Takes in progress.

        Args:
            label: What is being done; one label is one bar.
            done: How much of it is done.
            total: How much there is.
            info: What has come out so far, such as an accuracy.
        """


def tell(text: str) -> None:
    """Prints a line of news beside the bars, on standard error."""
    _console().print(allowed(text, "terminal"), soft_wrap=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Tells a terminal, while it lasts, of what takes seconds and has no steps.

    Args:
        what: Is going on.
    """
    console = _console()
    if console.is_terminal:
        with console.status(Text(allowed(what, "terminal"))):
            yield
    else:
        yield


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Yields a function (what is being done, done, total, info) that shows a bar for each task.

    They go to standard error, since standard output is for results. Where it is no terminal, a
    line is printed at each quarter of a task, and whenever there is news to tell.
    """
    console = _console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}", markup=False),
    )
    tasks: dict[str, TaskID] = {}
    quarters: dict[str, int] = {}
    told: dict[str, str] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def report(label: str, done: int, total: int, info: str = "") -> None:
            if not console.is_terminal:
                quarter = 4 * done // max(total, 1)
                news = bool(info) and info != told.get(label)
                if quarter > quarters.get(label, 0) or news:
                    quarters[label], told[label] = quarter, info
                    console.print(f"{label}: {done}/{total} {info}".rstrip(), soft_wrap=True)
                return
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total, info=info)
            bars.update(tasks[label], completed=done, info=info)

        yield report


def _console() -> Console:
    return Console(stderr=True, markup=False, emoji=False, highlight=False)
