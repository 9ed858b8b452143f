"""Where the commands write: results to standard output, all else to standard error.

Nothing that is written is read as markup, so that names and paths appear as they are.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

# A pipe has no width at which names would have to be cut.
_PIPE_COLUMNS = 100_000


def results() -> Console:
    """Returns the console of what a command finds out.

    A terminal, or COLUMNS, sets its width; a pipe or file gets whole lines.
    """
    whole = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(
        markup=False, emoji=False, highlight=False, width=_PIPE_COLUMNS if whole else None
    )


def print_error(message: str) -> None:
    """Prints what ends a command, as a paragraph on standard error."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    console.print(Text.assemble(("Error:", "bold red"), " ", message), soft_wrap=True)


def print_anything() -> None:
    """Lets both streams write what their encoding lacks, as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
