"""The command ``mcuformer verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from mcuformer_tflm.cli.options import Data, DataFolder, JsonFile, Model
from mcuformer_tflm.cli.outputs import Figures
from mcuformer_tflm.keras_models.exceptions import ConfigError


def verify(
    model: Model,
    data: Data = "fashion-mnist",
    data_folder: DataFolder = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only so many test images.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Run a model over a test set in TFLM and print its accuracy, from the file alone.

    Example: `mcuformer verify build/demo/model.tflite --data fashion-mnist`
    """
    from mcuformer_tflm.data.image_data import quantize_images
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
    from mcuformer_tflm.search.progress import progress_bars

    figures = Figures(json_file)
    loaded = load(data, data_folder)
    interpreter = MicroInterpreter(model)
    named = [name for name, labels in interpreter.output_labels.items() if labels == loaded.labels]
    if not named:
        raise ConfigError(
            f"The model's labels ({', '.join(interpreter.labels)}) are not those of {data} "
            f"({', '.join(loaded.labels)}); give the data set that it was trained on."
        )
    images, classes = loaded.test_images[:limit], loaded.test_classes[:limit]
    with progress_bars() as progress:
        outputs = interpreter.run_outputs(
            quantize_images(images),
            lambda done, total: progress("classify in TFLM", done, total),
        )
    logits = outputs[named[0]]
    hits = int((logits.argmax(-1) == classes).sum())
    share = hits / len(classes)
    figures.console.print(f"int8 accuracy in TFLM: {share:.2%} ({hits} of {len(classes)})")
    figures.tell({"int8_top1": share, "hits": hits, "images": len(classes), "data": data})
