"""Trained models that are shipped, and the recipes that made them.

``model_path(name)`` is where a model's ``.tflite`` lies, ``model_card(name)`` what it was measured
at, ``float_model(name)`` the network that it was quantized from; ``trained_supernet(name)`` is a
supernet that searches start from. Names load on first use; modules below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.zoo.card import ModelCard
    from mcuformer_tflm.zoo.catalogue import float_model, model_card, model_names, model_path
    from mcuformer_tflm.zoo.supernet_card import SupernetCard
    from mcuformer_tflm.zoo.supernets import supernet_card, supernet_names, trained_supernet

_HOMES = {
    "ModelCard": "card",
    "SupernetCard": "supernet_card",
    "float_model": "catalogue",
    "model_card": "catalogue",
    "model_names": "catalogue",
    "model_path": "catalogue",
    "supernet_card": "supernets",
    "supernet_names": "supernets",
    "trained_supernet": "supernets",
}

__all__ = [
    "ModelCard",
    "SupernetCard",
    "float_model",
    "model_card",
    "model_names",
    "model_path",
    "supernet_card",
    "supernet_names",
    "trained_supernet",
]

load_on_first_use(__name__, _HOMES)
