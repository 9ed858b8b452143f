"""The command ``mcuformer zoo train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import DataFolder, ResultsFolder, Work
from mcuformer_tflm.cli.outputs import check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.cli.zoo.page import print_page
from mcuformer_tflm.keras_models.exceptions import ConfigError
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
    import_tensorflow_quietly()
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import ZooRecipe

    wanted = ZooRecipe.read(recipe)
    if wanted.like is not None:
        raise ConfigError(f"{recipe} is the recipe of a baseline; run `mcuformer zoo baseline`.")
    data = load(wanted.data, data_folder)
    check_writable(out)
    check_writable(work)
    with progress_bars() as progress:
        card = make_model(wanted, data, out, work, progress)
    print_page(card.markdown())
    results().print(f"Written to {out / wanted.name}", soft_wrap=True)
