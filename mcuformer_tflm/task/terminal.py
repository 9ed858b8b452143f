"""Where the commands write: results to standard output, all else to standard error.

Nothing that is written is read as markup, so that names and paths appear as they are.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from mcuformer_tflm.keras_models.foreign_text import allowed

# A pipe has no width at which names would have to be cut.
_PIPE_COLUMNS = 100_000


class _Plain(Console):
    """A console on which names, which may be anybody's, command nothing."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(allowed(text, "terminal"), **options)


def results(*, aside: bool = False) -> Console:
    """Returns the console of what a command finds out.

    A terminal, or COLUMNS, sets its width; a pipe or file gets whole lines.

    Args:
        aside: Writes to standard error, where standard output is a machine's.
    """
    stream = sys.stderr if aside else sys.stdout
    whole = not stream.isatty() and "COLUMNS" not in os.environ
    return _Plain(
        markup=False, emoji=False, highlight=False, stderr=aside,
        width=_PIPE_COLUMNS if whole else None,
    )  # fmt: skip


def print_error(message: str) -> None:
    """Prints what ends a command, as a paragraph on standard error."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    told = allowed(message, "terminal")
    console.print(Text.assemble(("Error:", "bold red"), " ", told), soft_wrap=True)


def print_anything() -> None:
    """Lets both streams write what their encoding lacks, as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
