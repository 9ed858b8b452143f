"""Weights and training states in files that an interruption leaves whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import CheckpointError
from mcuformer_tflm.keras_models.untrusted_files import read_npz
from mcuformer_tflm.keras_models.whole_file import whole_file


def save_weights(model: tf_keras.Model, path: AnyPath, *, epochs: int = 0) -> None:
    """Writes a model's weights, and the epochs behind them, to an ``.npz`` file.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    write_arrays(path, {"epochs": np.asarray(epochs), **numbered("weight", model.get_weights())})


def save_halves(model: tf_keras.Model, path: AnyPath, *, epochs: int = 0) -> None:
    """Writes a model's weights in 16 bits each, to be shipped; ``load_weights`` reads them.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    halves = [weight.astype(np.float16) for weight in model.get_weights()]
    write_arrays(path, {"epochs": np.asarray(epochs), **numbered("weight", halves)})


def load_weights(model: tf_keras.Model, path: AnyPath) -> int:
    """Sets a model's weights from ``save_weights`` or ``SupernetTrainer.save``.

    Returns:
        The epochs behind them.

    Raises:
        CheckpointError: If the file is damaged, or of another network.
    """
    saved = read_arrays(path)
    weights = fitting(path, saved, "weight", model.weights)
    model.set_weights(weights)
    return int(saved["epochs"])


def step_losses(path: AnyPath) -> list[float]:
    """Returns the loss of each step of the training that a checkpoint is of.

    Empty where it is of weights alone, or older than that losses are kept.

    Raises:
        CheckpointError: If there is no such file, or it is damaged.
    """
    return losses_in(read_arrays(path))


def losses_in(saved: Mapping[str, np.ndarray]) -> list[float]:
    """Returns the losses among a checkpoint's arrays, as ``step_losses``."""
    return np.asarray(saved.get("losses", ()), np.float64).ravel().tolist()


def numbered(kind: str, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Names arrays by kind and number, as ``fitting`` looks for them."""
    return {f"{kind}_{i}": array for i, array in enumerate(arrays)}


def fitting(
    path: AnyPath, saved: Mapping[str, np.ndarray], kind: str, variables: Sequence
) -> list[np.ndarray]:
    """Returns the arrays of one kind, one for each variable.

    Raises:
        CheckpointError: If their number or a shape is not that of the variables, or they are no
            numbers.
    """
    found = sum(name.startswith(f"{kind}_") for name in saved)
    if found != len(variables):
        raise CheckpointError(
            f"{path} holds {found} {kind} arrays, this network has {len(variables)}: it is the "
            "checkpoint of another network."
        )
    names = [f"{kind}_{i}" for i in range(len(variables))]
    for name in names:
        if name not in saved or not np.issubdtype(saved[name].dtype, np.number):
            raise CheckpointError(
                f"{path} holds no numbers named {name}: it is damaged, or of another network."
            )
    arrays = [saved[name] for name in names]
    for array, variable in zip(arrays, variables, strict=True):
        if array.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{path} holds {list(array.shape)} for {variable.name}, which is "
                f"{variable.shape.as_list()} here: it is the checkpoint of another network."
            )
    return arrays


def write_arrays(path: AnyPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to an ``.npz`` file, which is old or new at any moment, never half.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    with whole_file(path, CheckpointError) as file:
        np.savez(file, **arrays)


def read_arrays(path: AnyPath) -> dict[str, np.ndarray]:
    """Reads what ``write_arrays`` has written.

    Raises:
        CheckpointError: If there is no such file, or it is damaged.
    """
    try:
        arrays = read_npz(checked_path("path", path))
        epochs = arrays.get("epochs")
        if epochs is None or epochs.shape or not np.issubdtype(epochs.dtype, np.integer):
            raise ValueError("it holds no number of epochs")
        return arrays
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no intact checkpoint ({error}); remove it to start from fresh weights."
        ) from error
