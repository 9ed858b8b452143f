"""The command ``mcuformer report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.task.terminal import results


def report(
    run_folder: Annotated[Path, typer.Argument(help="Where a search, a demo or a task has ended.")],
) -> None:
    """Write a run's page, report.html, anew from what its folder holds.

    Example: `mcuformer report build/demo`
    """
    from mcuformer_tflm.search.progress import waiting

    with waiting("Drawing the page"):
        import_tensorflow_quietly()
        from mcuformer_tflm.task.page.page import write_page

        page = write_page(run_folder)
    results().print(f"Written to {page}", soft_wrap=True)
