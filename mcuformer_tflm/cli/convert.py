"""The command ``mcuformer convert``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.networks import load_step, run_of, step_before
from mcuformer_tflm.cli.options import AnyBoard, DataFolder, JsonFile, OwnData, Steps, StepsOut
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError

_BOARD = "stm32f746"


def convert(
    network: Steps,
    board: AnyBoard = None,
    data: OwnData = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Class names, one a line, where no data tell them: nothing is measured."),
    ] = None,
    out: StepsOut = None,
    json_file: JsonFile = None,
    data_folder: DataFolder = None,
) -> None:
    """Convert a quantized network to a .tflite, and run that on the test images in TFLM.

    Board and data are those that it was trained for, unless options say otherwise. Writes what
    `mcuformer search` does. Status 1 where the model does not fit the board.

    Example: `mcuformer convert build/network --board stm32f427`
    """
    figures = Figures(json_file)
    import_tensorflow_quietly()
    from mcuformer_tflm.keras_models.subnet import Subnet
    from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
    from mcuformer_tflm.search.cost.budget import Budget
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.data import named_task
    from mcuformer_tflm.task.network_steps import (
        NETWORK_FILE,
        QUANTIZED_FILE,
        convert_network,
        copy_steps,
        measure_network,
    )
    from mcuformer_tflm.task.report import MODEL_FILE

    path = step_before(network, QUANTIZED_FILE, "quantize")
    folder, run = path.parent, run_of(path.parent)
    quantized = load_step(path)
    quantized.check_quantized()
    names = None if labels is None else read_labels(labels)
    if board is None:
        board = (run.board if run else None) or _BOARD
    config = getattr(quantized, "quantization", None)
    budget = Budget.of_board(board, **({"quantization": config} if config else {}))
    source = run.data if data is None and run and labels is None else data
    if source is not None and names is not None:
        raise ConfigError("Give --labels or --data: data have names of their own.")
    if source is None and names is None and isinstance(quantized, Subnet):
        raise ConfigError(
            f"{folder} does not tell the classes of {path.name}; give --data, or --labels."
        )
    target = folder if out is None else out
    check_writable(target)
    if target != folder:
        copy_steps(folder, target)
    if source is None or not isinstance(quantized, Subnet):
        model = convert_network(quantized, names, target, budget)
        told = {"model": str(target / MODEL_FILE), "flash_bytes": len(model)}
        figures.console.print(f"{len(model):,} bytes of flash.")
    else:
        size, seed = (run.batch_size, run.seed) if run else (1, 0)
        recipe = run.recipe if run else TrainingRecipe()
        task = named_task(source, size, recipe, seed=seed, data_folder=data_folder)
        floating = folder / NETWORK_FILE
        before = load_step(floating) if path.name == QUANTIZED_FILE and floating.exists() else None
        with progress_bars() as progress:
            report = measure_network(
                quantized, task, target, budget, progress, seed=seed, data_name=source,
                network=before if isinstance(before, Subnet) else None,
            )  # fmt: skip
        figures.console.print(report.table())
        told = {"model": str(target / MODEL_FILE), **dataclasses.asdict(report)}
    figures.console.print(f"Written to {target / MODEL_FILE}", soft_wrap=True)
    figures.tell(told)
    check_fit(target / MODEL_FILE, board, budget.flash)


def read_labels(path: Path) -> list[str]:
    """Returns the lines of a file of class names.

    Raises:
        ConfigError: If it cannot be read.
    """
    from mcuformer_tflm.keras_models.untrusted_files import read_text

    try:
        return read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as class names ({error}).") from error


def check_fit(model: Path, board: str, flash: int) -> None:
    """Checks that a model fits a board.

    Raises:
        BudgetError: If it does not.
    """
    from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
    from mcuformer_tflm.plan.planner import plan_memory, read_plan
    from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
    from mcuformer_tflm.search.board import get_board

    graph = read_our_graph(model)
    found = read_plan(graph)
    tail = cortex_m_arena_bytes(graph, found) - found.head_bytes
    plan_memory(graph, get_board(board), reserve=tail)
    if (size := model.stat().st_size) > flash:
        raise BudgetError(
            f"{model} takes {size:,} bytes of flash; {board} has {flash:,} for it. Give a smaller "
            "network, or --weight-bits 4."
        )
