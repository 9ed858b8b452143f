"""Weights in files that an interruption leaves whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tf_keras


def save_weights(model: tf_keras.Model, path: Path, epochs: int = 0) -> None:
    """Writes a model's weights, and the epochs behind them, to an ``.npz`` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed: an interruption leaves the old file whole.
    partial = path.with_suffix(".partial.npz")
    weights = {f"weight_{i}": weight for i, weight in enumerate(model.get_weights())}
    np.savez(partial, epochs=epochs, **weights)
    partial.replace(path)


def load_weights(model: tf_keras.Model, path: Path) -> int:
    """Sets a model's weights from ``save_weights`` and returns the epochs behind them."""
    with np.load(path) as saved:
        model.set_weights([saved[f"weight_{i}"] for i in range(len(model.weights))])
        return int(saved["epochs"])
