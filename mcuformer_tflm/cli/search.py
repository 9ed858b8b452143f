"""The command ``mcuformer search``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcuformer_tflm.cli.options import (
    AnyBoard,
    BatchSize,
    DataFolder,
    GivenSeed,
    JsonFile,
    Milliseconds,
    OwnData,
    ResidualBits,
    ResultsFolder,
    Supernet,
    WeightBits,
)
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly

if TYPE_CHECKING:
    from rich.console import Console

    from mcuformer_tflm.task.report import Report
    from mcuformer_tflm.task.run_file import SearchRun


def search(
    run_file: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN.toml]", help="A run file; options count instead of its own."),
    ] = None,
    data: OwnData = None,
    board: AnyBoard = None,
    arena_kib: Annotated[int | None, typer.Option(help="Limit the arena to so many KiB.")] = None,
    flash_kib: Annotated[int | None, typer.Option(help="Limit the .tflite to so many KiB.")] = None,
    milliseconds: Milliseconds = None,
    supernet: Supernet = None,
    train_supernet: Annotated[
        bool | None,
        typer.Option(
            "--train-supernet", help="Search by a supernet, and leave it: it serves other budgets."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Plan the work into so many; by default 30, with a supernet 5."),
    ] = None,
    seed: GivenSeed = None,
    batch_size: BatchSize = None,
    weight_bits: WeightBits = None,
    residual_bits: ResidualBits = None,
    out: ResultsFolder = Path("build/search"),
    json_file: JsonFile = None,
    data_folder: DataFolder = None,
) -> None:
    """Find, train and measure a network for your data and your board. Goes on if interrupted.

    Example: `mcuformer search --supernet fashion_mnist --board stm32f427 --arena-kib 32 --ms 80`
    """
    from mcuformer_tflm.task.run_file import SearchRun

    given = {
        "data": data, "board": board, "arena_kib": arena_kib, "flash_kib": flash_kib,
        "ms": milliseconds, "supernet": supernet, "train_supernet": train_supernet,
        "minutes": minutes, "seed": seed,
        "batch_size": batch_size, "weight_bits": weight_bits, "residual_bits": residual_bits,
    }  # fmt: skip
    run = SearchRun.of_fields(given) if run_file is None else SearchRun.read(run_file, **given)
    run.budget()  # told before any data is read
    check_writable(out)
    figures = Figures(json_file)
    report = search_and_print(run, out, data_folder, figures.console)
    figures.tell(dataclasses.asdict(report))


def search_and_print(
    run: SearchRun, out: Path, data_folder: Path | None, console: Console
) -> Report:
    """Runs a search with progress bars and prints its report."""
    import_tensorflow_quietly()
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.board_search import run_search, search_data
    from mcuformer_tflm.zoo.supernets import trained_supernet

    found = None if run.supernet is None else trained_supernet(run.supernet)
    data = search_data(run, supernet=found, data_folder=data_folder)
    what = run.supernet or run.data
    console.print(f"{what} for {run.budget()}, {run.minutes:g} minutes, seed {run.seed}")
    with progress_bars() as progress:
        report = run_search(run, data, out, progress, supernet=found)
    console.print(report.table())
    written = ", ".join(sorted(path.name for path in out.iterdir() if path.is_file()))
    console.print(f"Written to {out}: {written}", soft_wrap=True)
    return report
