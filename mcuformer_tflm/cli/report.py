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
    import_tensorflow_quietly()
    from mcuformer_tflm.task.page.page import write_page

    results().print(f"Written to {write_page(run_folder)}", soft_wrap=True)
