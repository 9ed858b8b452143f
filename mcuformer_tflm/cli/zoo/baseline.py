"""The command ``mcuformer zoo baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import DataFolder, ResultsFolder, Work
from mcuformer_tflm.cli.zoo.make import make
from mcuformer_tflm.task.terminal import results


def zoo_baseline(
    recipe: Annotated[Path, typer.Argument(help="One of examples/zoo/baselines, or the like.")],
    out: ResultsFolder = Path("build/zoo/baselines"),
    work: Work = Path("build/zoo/work"),
    data_folder: DataFolder = None,
) -> None:
    """Make another network as a model of the zoo is made, to compare with. Takes hours.

    Example: `mcuformer zoo baseline examples/zoo/baselines/depthwise_cnn_64k.toml`
    """
    card = make(recipe, out, work, data_folder, baseline=True)
    console = results()
    console.print_json(data=card.to_dict())
    console.print(f"Written to {out / card.name}", soft_wrap=True)
