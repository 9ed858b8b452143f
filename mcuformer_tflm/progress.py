"""Progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

Report = Callable[[str, int, int], None]


@contextmanager
def progress_bars(console: Console) -> Iterator[Report]:
    """Yields a function (what is being done, done, total) that shows one bar for each task.

    Where the console is no terminal, a line is printed at each quarter of a task.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    quarters: dict[str, int] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def report(label: str, done: int, total: int) -> None:
            if not console.is_terminal:
                quarter = 4 * done // total
                if quarter > quarters.get(label, 0):
                    quarters[label] = quarter
                    console.print(f"{label}: {done}/{total}")
                return
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done)

        yield report
