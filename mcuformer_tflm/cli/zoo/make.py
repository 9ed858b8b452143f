"""What ``mcuformer zoo train`` and ``mcuformer zoo baseline`` share: a recipe becomes files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcuformer_tflm.cli.outputs import check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import ConfigError

if TYPE_CHECKING:
    from mcuformer_tflm.zoo.card import ModelCard


def make(
    recipe: Path, out: Path, work: Path, data_folder: Path | None, *, baseline: bool
) -> ModelCard:
    """Makes what a recipe describes, with progress bars, and returns its card.

    Raises:
        ConfigError: If it is the recipe of the other command.
    """
    import_tensorflow_quietly()
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.zoo.making import make_model
    from mcuformer_tflm.zoo.recipe import ZooRecipe

    wanted = ZooRecipe.read(recipe)
    if (wanted.like is not None) != baseline:
        what, command = ("model", "train") if baseline else ("baseline", "baseline")
        raise ConfigError(f"{recipe} is the recipe of a {what}; run `mcuformer zoo {command}`.")
    data = load(wanted.data, data_folder)
    check_writable(out)
    check_writable(work)
    with progress_bars() as progress:
        return make_model(wanted, data, out, work, progress)
