"""The command ``mcuformer zoo baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import DataFolder, ResultsFolder, Work
from mcuformer_tflm.cli.outputs import check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import ConfigError
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
    import_tensorflow_quietly()
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import ZooRecipe

    wanted = ZooRecipe.read(recipe)
    if wanted.like is None:
        raise ConfigError(f"{recipe} is the recipe of a model; run `mcuformer zoo train`.")
    data = load(wanted.data, data_folder)
    check_writable(out)
    check_writable(work)
    with progress_bars() as progress:
        card = make_model(wanted, data, out, work, progress)
    console = results()
    console.print_json(data=card.to_dict())
    console.print(f"Written to {out / wanted.name}", soft_wrap=True)
