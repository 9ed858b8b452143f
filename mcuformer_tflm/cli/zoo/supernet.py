"""The command ``mcuformer zoo supernet``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import DataFolder, ResultsFolder, Work
from mcuformer_tflm.cli.outputs import check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.cli.zoo.page import print_page
from mcuformer_tflm.task.terminal import results


def zoo_supernet(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe, such as those in examples/zoo/supernets.")
    ],
    out: ResultsFolder = Path("build/zoo/supernets"),
    work: Work = Path("build/zoo/work"),
    data_folder: DataFolder = None,
) -> None:
    """Train a supernet that later searches start from. Takes hours on two cores.

    Example: `mcuformer zoo supernet examples/zoo/supernets/fashion_mnist.toml`
    """
    import_tensorflow_quietly()
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.supernet_making import make_supernet
    from mcuformer_tflm.zoo.supernet_recipe import SupernetRecipe

    wanted = SupernetRecipe.read(recipe)
    data = load(wanted.data, data_folder)
    check_writable(out)
    check_writable(work)
    with progress_bars() as progress:
        card = make_supernet(wanted, data, out, work, progress)
    print_page(card.markdown())
    results().print(f"Written to {out / card.name}", soft_wrap=True)
