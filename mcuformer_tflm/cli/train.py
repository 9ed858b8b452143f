"""The command ``mcuformer train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcuformer_tflm.cli.networks import architecture_named, for_images
from mcuformer_tflm.cli.options import (
    AnyBoard,
    BatchSize,
    DataFolder,
    GivenSeed,
    JsonFile,
    OwnData,
    ResultsFolder,
    zoo_networks,
)
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError

if TYPE_CHECKING:
    from mcuformer_tflm.task.network_run import NetworkRun


def train(
    network: Annotated[
        str,
        typer.Argument(
            autocompletion=zoo_networks,
            help="A model of the zoo, an architecture's .json, a .tflite, a folder of a search, or "
            "a run file (.toml), whose fields count where no option is given.",
        ),
    ],
    data: OwnData = None,
    board: AnyBoard = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images; by default 10.")] = (
        None
    ),
    teacher_epochs: Annotated[
        int | None,
        typer.Option(help="Train a convolutional teacher first, for so many; by default 0."),
    ] = None,
    batch_size: BatchSize = None,
    start: Annotated[
        str | None,
        typer.Option(help="First weights of attention: random (default), or structured."),
    ] = None,
    seed: GivenSeed = None,
    out: ResultsFolder = Path("build/network"),
    json_file: JsonFile = None,
    data_folder: DataFolder = None,
) -> None:
    """Train one network on your images; what it is called, `quantize` and `convert` go on with.

    Its input and classes become those of the data. With a board it is refused where it does not
    fit, before it is trained. Goes on if interrupted.

    Example: `mcuformer train fashion_mnist_64k --data images-32x32x3:FOLDER --board stm32f427`
    """
    figures = Figures(json_file)
    import_tensorflow_quietly()
    from mcuformer_tflm.search.board import get_board
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.data import named_task
    from mcuformer_tflm.task.network_run import TRAIN_FILE, NetworkRun
    from mcuformer_tflm.task.network_steps import NETWORK_FILE, train_network

    given = {
        "data": data, "board": board, "epochs": epochs, "teacher_epochs": teacher_epochs,
        "batch_size": batch_size, "start": start, "seed": seed,
    }  # fmt: skip
    if network.endswith(".toml"):
        run = NetworkRun.read(network, **given)
    else:
        if data is None:
            raise ConfigError("data is missing; name a data set by --data.")
        run = NetworkRun.of_fields({**given, "architecture": architecture_named(network)})
    if run.board is not None:
        get_board(run.board)  # a slip in its name is told before any data is read
    check_writable(out)
    task = named_task(run.data, run.batch_size, run.recipe, seed=run.seed, data_folder=data_folder)
    found = for_images(run.architecture, task.image_shape, len(task.labels))
    run = NetworkRun.of_fields({**run.to_dict(), "architecture": found})
    check_board(run)
    repeated = shlex.join(["mcuformer", "train", str(out / TRAIN_FILE), "--out", str(out)])
    with progress_bars() as progress:
        trained = train_network(run, task, out, progress, command=repeated)
    figures.console.print(
        f"{trained.validation_top1:.2%} of {trained.validation_images:,} validation images, in "
        f"float. Written to {out / NETWORK_FILE}; go on with `mcuformer quantize {out}`.",
        soft_wrap=True,
    )
    figures.tell(
        {
            "network": str(out / NETWORK_FILE),
            "architecture": run.architecture.to_dict(),
            "validation_top1": trained.validation_top1,
            "validation_images": trained.validation_images,
            "seed": run.seed,
        }
    )


def check_board(run: NetworkRun) -> None:
    """Checks that a run's network fits its board, where it has one.

    Raises:
        BudgetError: If it does not; names what it exceeds.
        ConfigError: If there is no such board.
    """
    from mcuformer_tflm.search.cost.budget import Budget
    from mcuformer_tflm.search.cost.fit import Fit

    if run.board is None:
        return
    fit = Fit(Budget.of_board(run.board))
    if fit(run.architecture):
        return
    larger = fit.smallest_board(run.architecture)
    remedy = (
        f"{larger.name} is the smallest known board that holds it"
        if larger
        else ("no known board holds it")
    )
    raise BudgetError(
        f"The network exceeds {fit.budget}: {fit.miss(run.architecture)}; {remedy}. Give a smaller "
        "network, or let `mcuformer search` find one."
    )
