"""Options and arguments that commands share; each command gives its own defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _boards() -> list[str]:
    from mcuformer_tflm.search.board import all_boards

    return [board.name for board in all_boards()]


def _models() -> list[str]:
    from mcuformer_tflm.zoo.catalogue import model_names
    from mcuformer_tflm.zoo.supernets import supernet_names

    return [*model_names(), *supernet_names()]


def zoo_networks() -> list[str]:
    """Returns the names of the zoo's networks, for a shell to complete."""
    from mcuformer_tflm.zoo.catalogue import model_names

    return list(model_names())


def _supernets() -> list[str]:
    from mcuformer_tflm.zoo.supernets import supernet_names

    return list(supernet_names())


Board = Annotated[
    str,
    typer.Option(
        autocompletion=_boards,
        help="stm32f427, stm32f746, stm32f746-discovery, stm32h743, stm32n657, corstone-300, or a "
        ".toml that describes a board.",
    ),
]
AnyBoard = Annotated[
    str | None,
    typer.Option(
        autocompletion=_boards,
        help="A known board, such as stm32f427, or a .toml that describes one. Not needed where "
        "both --arena-kib and --flash-kib are given.",
    ),
]
Supernet = Annotated[
    str | None,
    typer.Option(
        autocompletion=_supernets,
        help="A trained supernet, by its name in the zoo or its file: search its subnets alone.",
    ),
]
Model = Annotated[Path, typer.Argument(help="A .tflite that mcuformer has written.")]
ZooName = Annotated[
    str,
    typer.Argument(
        help="A model's name, as `mcuformer zoo list` tells it.", autocompletion=_models
    ),
]
_DATA = typer.Option(
    help="The data set: fashion-mnist, speech-commands:FOLDER, images-96x96x1:FOLDER, tfds:NAME, "
    "or an .npz file."
)
Data = Annotated[str, _DATA]
OwnData = Annotated[str | None, _DATA]
DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of its files, if not the Debian package's.")
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", help="Write the figures to this file too; - is standard output, for machines."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random choices.")]
GivenSeed = Annotated[
    int | None, typer.Option("--seed", help="Seed of all random choices; by default 0.")
]
BatchSize = Annotated[int | None, typer.Option(help="Images a step; by default 128.")]
Steps = Annotated[
    Path, typer.Argument(metavar="NETWORK", help="A folder of `mcuformer train`, or a .keras file.")
]
StepsOut = Annotated[
    Path | None, typer.Option("--out", help="Folder of the results; by default the network's own.")
]
ResultsFolder = Annotated[Path, typer.Option(help="Folder of the results.")]
Work = Annotated[
    Path, typer.Option(help="Folder of the training's state; an interrupted run goes on.")
]
WeightBits = Annotated[int | None, typer.Option(help="Bits of the blocks' weights: 4 or 8.")]
ResidualBits = Annotated[int | None, typer.Option(help="Bits of the residual stream: 8 or 16.")]
Milliseconds = Annotated[
    float | None,
    typer.Option("--ms", help="Limit an inference to so many milliseconds, by estimate."),
]
