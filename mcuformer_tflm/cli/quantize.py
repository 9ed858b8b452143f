"""The command ``mcuformer quantize``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from mcuformer_tflm.cli.networks import load_step, run_of, step_before
from mcuformer_tflm.cli.options import (
    DataFolder,
    JsonFile,
    OwnData,
    ResidualBits,
    Steps,
    StepsOut,
    WeightBits,
)
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.cli.quiet_tensorflow import import_tensorflow_quietly
from mcuformer_tflm.keras_models.exceptions import ConfigError


def quantize(
    network: Steps,
    data: OwnData = None,
    epochs: Annotated[
        int, typer.Option(min=0, help="Train with rounding for so many; 0 calibrates alone.")
    ] = 1,
    weight_bits: WeightBits = 8,
    residual_bits: ResidualBits = 8,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images a step; by default as it was trained.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the images' order; by default as it was trained.")
    ] = None,
    out: StepsOut = None,
    json_file: JsonFile = None,
    data_folder: DataFolder = None,
) -> None:
    """Quantize a trained network: calibrate it, and train it on with TF-MOT's rounding.

    Data are those that it was trained on, unless --data says otherwise. Goes on if interrupted.

    Example: `mcuformer quantize build/network --epochs 2`
    """
    figures = Figures(json_file)
    import_tensorflow_quietly()
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
    from mcuformer_tflm.search.progress import progress_bars
    from mcuformer_tflm.task.data import named_task
    from mcuformer_tflm.task.network_steps import (
        NETWORK_FILE,
        QUANTIZED_FILE,
        copy_steps,
        quantize_network,
    )

    path = step_before(network, NETWORK_FILE, "train")
    folder, run = path.parent, run_of(path.parent)
    config = QuantizationConfig()
    if weight_bits is not None:
        config = dataclasses.replace(config, weight_bits=weight_bits)
    if residual_bits is not None:
        config = dataclasses.replace(config, residual_bits=residual_bits)
    name = run.data if data is None and run else data
    if name is None:
        raise ConfigError(f"{folder} does not tell the data of {path.name}; name them by --data.")
    loaded = load_step(path)
    if loaded.quantized:
        raise ConfigError(f"{path} holds a quantized network; give the one in float.")
    recipe = run.recipe if run else TrainingRecipe()
    size, chosen = batch_size or (run.batch_size if run else 128), seed
    if chosen is None:
        chosen = run.seed if run else 0
    task = named_task(name, size, recipe, seed=chosen, data_folder=data_folder)
    target = folder if out is None else out
    check_writable(target)
    if target != folder:
        copy_steps(folder, target)
    with progress_bars() as progress:
        found = quantize_network(
            loaded, task, target, progress, epochs=epochs, config=config, recipe=recipe
        )
    figures.console.print(
        f"{found.validation_top1:.2%} of {found.validation_images:,} validation images, with "
        f"rounding. Written to {target / QUANTIZED_FILE}; go on with `mcuformer convert {target}`.",
        soft_wrap=True,
    )
    figures.tell(
        {
            "network": str(target / QUANTIZED_FILE),
            "weight_bits": config.weight_bits,
            "residual_bits": config.residual_bits,
            "validation_top1": found.validation_top1,
            "validation_images": found.validation_images,
            "seed": chosen,
        }
    )
