"""Writes the metadata of the shipped models anew, as `convert` writes it today.

    python scripts/refresh_metadata.py

Weights, operators and memory plans stay as they are, and so do the figures of the cards but for the
digest and the size of the file. Nothing is trained.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mcuformer_tflm.baselines import catalogue as baselines
from mcuformer_tflm.convert.metadata import rewrite_metadata
from mcuformer_tflm.zoo import catalogue as zoo
from mcuformer_tflm.zoo.card import digest


def main(zoo_folder: Path = zoo.SHIPPED, baselines_folder: Path = baselines.SHIPPED) -> None:
    """Rewrites models and cards."""
    for name in zoo.model_names(zoo_folder):
        card, folder = zoo.model_card(name, zoo_folder), zoo_folder / name
        dataclasses.replace(card, **_rewritten(folder)).write(folder)
    for name, card in baselines.shipped_baselines(baselines_folder).items():
        folder = baselines_folder / name
        # A baseline of TFLite's own operators has none of our metadata.
        if card.network["kind"] == "vision_transformer":
            dataclasses.replace(card, **_rewritten(folder)).write(folder / zoo.CARD_FILE)


def _rewritten(folder: Path) -> dict[str, Any]:
    path = folder / zoo.MODEL_FILE
    model = rewrite_metadata(path.read_bytes())
    path.write_bytes(model)
    print(f"{path}: {len(model):,} bytes")
    return {"sha256": digest(model), "flash_bytes": len(model)}


if __name__ == "__main__":
    main()
