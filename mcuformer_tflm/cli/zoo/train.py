"""The command ``mcuformer zoo train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import DataFolder, ResultsFolder, Work
from mcuformer_tflm.cli.zoo.make import make
from mcuformer_tflm.cli.zoo.page import print_page
from mcuformer_tflm.task.terminal import results


def zoo_train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as those in examples/zoo.")],
    out: ResultsFolder = Path("build/zoo"),
    work: Work = Path("build/zoo/work"),
    data_folder: DataFolder = None,
) -> None:
    """Make a model from its recipe: train, quantize, convert, measure. Takes hours on two cores.

    Example: `mcuformer zoo train examples/zoo/fashion_mnist_64k.toml`
    """
    card = make(recipe, out, work, data_folder, baseline=False)
    print_page(card.markdown())
    results().print(f"Written to {out / card.name}", soft_wrap=True)
