"""The command ``mcuformer demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import Board, DataFolder, Milliseconds, ResultsFolder
from mcuformer_tflm.cli.outputs import check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.task.terminal import results


def demo(
    board: Board = "stm32f746",
    out: ResultsFolder = Path("build/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random choices.")
    ] = 0,
    sram_kib: Annotated[
        int | None, typer.Option(min=1, help="Limit the arena to fewer KiB than the board has.")
    ] = None,
    milliseconds: Milliseconds = None,
    weight_bits: Annotated[int, typer.Option(help="Bits of the blocks' weights: 4 or 8.")] = 8,
    residual_bits: Annotated[int, typer.Option(help="Bits of the residual stream: 8 or 16.")] = 8,
    data_folder: DataFolder = None,
) -> None:
    """Search, train, quantize, convert and run a model on Fashion-MNIST.

    Example: `mcuformer demo --board stm32f427 --out build/demo`
    """
    from mcuformer_tflm.data.fashion_mnist import fashion_mnist
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.search.board import get_board
    from mcuformer_tflm.search.cost.budget import Budget

    quantization = QuantizationConfig(weight_bits=weight_bits, residual_bits=residual_bits)
    arena = None if sram_kib is None else sram_kib * 1024
    budget = Budget.of_board(
        get_board(board), arena, quantization=quantization, milliseconds=milliseconds
    )
    data = fashion_mnist(data_folder)
    check_writable(out)
    console = results()
    console.print(f"Fashion-MNIST for {budget}, seed {seed}")
    import_tensorflow_quietly()
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.demo import run_demo

    with progress_bars() as progress:
        report = run_demo(data, budget, out, progress, seed)
    console.print(report.table())
    console.print(
        f"Written to {out}: model.tflite, report.json, memory_map.png, sqnr.png", soft_wrap=True
    )
