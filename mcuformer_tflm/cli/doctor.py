"""The command ``mcuformer doctor``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mcuformer_tflm.cli.outputs import STANDARD_OUTPUT, Figures
from mcuformer_tflm.keras_models.exceptions import ConfigError

_SIGNS = {"there": "yes", "missing": "no", "wrong": "another"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Tell the findings as JSON, on standard output.")
    ] = False,
    written_to: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="With --json: write them here instead.")
    ] = STANDARD_OUTPUT,
) -> None:
    """Tell what is installed, what does not work without what is missing, and what mends it.

    Status 1 if something is missing that every command needs.

    Example: `mcuformer doctor`
    """
    from mcuformer_tflm.task.machine_check import check_machine

    if not as_json and written_to != STANDARD_OUTPUT:
        raise ConfigError(f"{written_to} is given without --json; doctor takes nothing else.")
    figures = Figures(written_to if as_json else None)
    findings = check_machine()
    if as_json:
        figures.tell([dataclasses.asdict(finding) for finding in findings])
    else:
        table = Table(title="This machine")
        table.add_column("what", no_wrap=True)
        table.add_column("there")
        table.add_column("version or place")
        table.add_column("needed by")
        for finding in findings:
            table.add_row(
                finding.name,
                _SIGNS[finding.state],
                finding.found,
                finding.needed_by or "everything",
            )
        console = figures.console
        console.print(table)
        lacking = [finding for finding in findings if finding.state != "there"]
        for finding in lacking:
            console.print(f"{finding.name}: {finding.remedy}", soft_wrap=True)
        if not lacking:
            console.print("Nothing is missing.")
    if any(finding.essential and finding.state != "there" for finding in findings):
        raise typer.Exit(1)
