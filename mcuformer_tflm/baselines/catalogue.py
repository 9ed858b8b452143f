"""The baselines that are shipped with the package."""

from __future__ import annotations

from pathlib import Path

from mcuformer_tflm.baselines.card import BaselineCard
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.zoo.catalogue import CARD_FILE

SHIPPED = Path(__file__).parent / "models"


def shipped_baselines(folder: AnyPath = SHIPPED) -> dict[str, BaselineCard]:
    """Returns the cards of the baselines in a folder, by default the shipped ones, by name."""
    folder = checked_path("folder", folder)
    cards = (BaselineCard.read(path) for path in sorted(folder.glob(f"*/{CARD_FILE}")))
    return {card.name: card for card in cards}
