"""The command ``mcuformer bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mcuformer_tflm.bench import PICTURED, SUITES
from mcuformer_tflm.cli.options import JsonFile
from mcuformer_tflm.cli.outputs import Figures, check_picture, check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.task.terminal import print_error


def bench(
    suite: Annotated[str, typer.Argument(help=f"One of {', '.join(SUITES)}.")],
    json_file: JsonFile = None,
    picture: Annotated[
        Path | None, typer.Option(help=f"Draw to this .png or .svg; {' and '.join(PICTURED)} do.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Begin nothing more after so many (search only).")
    ] = 25.0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this campaign; give it again for another (faults only)."),
    ] = None,
    effort: Annotated[
        str, typer.Option(help="short or long (faults only): long takes hours.")
    ] = "short",
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Where what is done is kept, to be gone on with; build/bench-search and "
            "build/specialise (search and specialise only)."
        ),
    ] = None,
    alone: Annotated[
        Path | None,
        typer.Option(help="Folder of models trained by the recipes that it writes (specialise)."),
    ] = None,
) -> None:
    """Run a benchmark and print its figures.

    Example: `mcuformer bench kernels --json build/kernels.json`
    """
    import importlib

    if suite not in SUITES:
        raise ConfigError(f"There is no benchmark {suite!r}; there are {', '.join(SUITES)}.")
    check_picture(picture)
    if picture is not None and suite not in PICTURED:
        raise ConfigError(
            f"--picture is {picture}; {suite} draws none, {' and '.join(PICTURED)} do."
        )
    if not minutes > 0:
        raise ConfigError(f"--minutes is {minutes}; it must be above 0.")
    if suite != "faults" and (only or effort != "short"):
        raise ConfigError(f"--only and --effort are of faults; {suite} has no campaigns.")
    if suite not in ("search", "specialise") and directory is not None:
        raise ConfigError(
            f"--directory is {directory}; {suite} keeps nothing, search and specialise do."
        )
    if alone is not None and suite != "specialise":
        raise ConfigError(f"--alone is of specialise; {suite} compares with no such models.")
    figures = Figures(json_file)
    for path in (picture, None if directory is None else directory / "kept"):
        if path is not None:
            check_writable(path.parent)
    import_tensorflow_quietly(start=suite != "faults")
    from mcuformer_tflm.bench.rows import row_fields, table
    from mcuformer_tflm.search.progress import progress_bars

    module = importlib.import_module(f"mcuformer_tflm.bench.{suite}")
    of_suite: dict[str, dict[str, Any]] = {
        "search": {"minutes": minutes, "picture": picture, "directory": directory},
        "specialise": {"alone": alone, "work": directory},
        "faults": {"only": only or (), "effort": effort},
    }
    with progress_bars() as progress:
        rows = module.run(progress, **of_suite.get(suite, {}))
    console = figures.console
    console.print(table(rows, f"mcuformer bench {suite}"))
    figures.tell(row_fields(rows))
    if picture is not None:
        if hasattr(module, "draw"):
            module.draw(rows, picture)
        told = f"Drawn to {picture}" if picture.exists() else "What is to be drawn is not done yet"
        console.print(told, soft_wrap=True)
    if suite == "faults" and (lost := module.lost_campaigns(rows)):
        print_error(
            f"Not all was borne as promised: {', '.join(lost)}. The rows tell what was lost."
        )
        raise typer.Exit(1)
