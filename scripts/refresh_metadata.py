"""Writes the metadata of the shipped models anew, as `convert` writes it today.

    python scripts/refresh_metadata.py

Weights, operators and memory plans stay as they are, and so do the figures of the cards but for the
digest and the size of the file. Nothing is trained.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mcuformer_tflm.convert.metadata import rewrite_metadata
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.zoo import catalogue as zoo
from mcuformer_tflm.zoo.card import digest


def main(zoo_folder: Path = zoo.SHIPPED, baselines_folder: Path = zoo.BASELINES) -> None:
    """Rewrites models and cards."""
    for models in (zoo_folder, baselines_folder):
        for name, card in zoo.model_cards(models).items():
            # A baseline of TFLite's own operators has none of our metadata.
            if card.network["kind"] == "vision_transformer":
                folder = models / name
                dataclasses.replace(card, **_rewritten(folder)).write(folder)


def _rewritten(folder: Path) -> dict[str, Any]:
    path = folder / zoo.MODEL_FILE
    model = rewrite_metadata(path.read_bytes())
    write_whole(path, model)
    print(f"{path}: {len(model):,} bytes")
    return {"sha256": digest(model), "flash_bytes": len(model)}


if __name__ == "__main__":
    main()
