"""The command ``mcuformer demo``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import (
    Board,
    DataFolder,
    JsonFile,
    Milliseconds,
    ResidualBits,
    ResultsFolder,
    Seed,
    WeightBits,
)
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.cli.search import search_and_print

_SUPERNET = "fashion_mnist"
# Together ten, with what it takes to start.
_FROM_NOTHING, _SPECIALISED = 4.0, 5.0


def demo(
    board: Board = "stm32f746",
    out: ResultsFolder = Path("build/demo"),
    seed: Seed = 0,
    sram_kib: Annotated[
        int | None, typer.Option(min=1, help="Limit the arena to fewer KiB than the board has.")
    ] = None,
    milliseconds: Milliseconds = None,
    weight_bits: WeightBits = 8,
    residual_bits: ResidualBits = 8,
    json_file: JsonFile = None,
    data_folder: DataFolder = None,
) -> None:
    """Search, train, quantize, convert and run a model on Fashion-MNIST, in ten minutes.

    First a short evolution from nothing, which shows how a search goes; then the supernet that is
    shipped, under the board's budget, which takes up where hours of training ended.

    Example: `mcuformer demo --board stm32f427 --out build/demo`
    """
    from mcuformer_tflm.task.run_file import UNFINISHED, SearchRun
    from mcuformer_tflm.zoo.supernets import supernet_names

    shipped = _SUPERNET in supernet_names()
    limits = {
        "arena_kib": sram_kib, "ms": milliseconds, "seed": seed, "weight_bits": weight_bits,
        "residual_bits": residual_bits,
    }  # fmt: skip
    minutes = _FROM_NOTHING if shipped else _FROM_NOTHING + _SPECIALISED
    nothing = SearchRun.of_fields({
        "data": "fashion-mnist", "board": board, "minutes": minutes, "train_supernet": True,
        **limits,
    })  # fmt: skip
    nothing.budget()  # told before any data is read
    check_writable(out)
    figures = Figures(json_file)
    console = figures.console
    # Of two parts the second is gone on with where that was interrupted.
    if not shipped or not (out / UNFINISHED).exists():
        console.print(f"A short evolution of a space, from nothing, in {minutes:g} minutes:")
        folder = out / "from-nothing" if shipped else out
        report = search_and_print(nothing, folder, data_folder, console)
    if shipped:
        console.print("The supernet of the zoo, which was trained for longer, under the budget:")
        run = SearchRun.of_fields(
            {"supernet": _SUPERNET, "board": board, "minutes": _SPECIALISED, **limits}
        )
        report = search_and_print(run, out, data_folder, console)
    figures.tell(dataclasses.asdict(report))
