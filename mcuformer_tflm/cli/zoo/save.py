"""The command ``mcuformer zoo save``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import ZooName
from mcuformer_tflm.task.terminal import results


def zoo_save(
    name: ZooName, out: Annotated[Path, typer.Argument(help="The .tflite to write.")]
) -> None:
    """Copy a model's file, ready for `plan`, `firmware` and `emulate`.

    Example: `mcuformer zoo save fashion_mnist_64k build/model.tflite`
    """
    from mcuformer_tflm.keras_models.whole_file import write_whole
    from mcuformer_tflm.zoo.catalogue import model_card, model_path

    model_card(name)  # is the file the one that was measured?
    content = model_path(name).read_bytes()
    write_whole(out, content)
    results().print(f"{name} written to {out}: {len(content):,} bytes", soft_wrap=True)
