"""Keras callbacks in a search: which can be heeded, and how each trial hears its own."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.tuners.hparams import write_hparams

LOGS = ("loss", "val_accuracy")
_HOOKS = (
    "set_params", "set_model", "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end",
    "on_train_batch_begin", "on_train_batch_end",
)  # fmt: skip
_EQUAL_EPOCHS = (
    "spaces are compared by supernets of equal epochs, so that none may stop before the others; "
    "give the oracle fewer epochs"
)
_SCHEDULE = (
    "the learning rate follows the recipe's warm-up and cosine; set learning_rate, "
    "final_learning_rate and warmup_share of TrainingRecipe instead"
)
# Of Keras' own, and of classes derived from them.
_REFUSED = {
    "EarlyStopping": _EQUAL_EPOCHS,
    "LearningRateScheduler": _SCHEDULE,
    "ReduceLROnPlateau": _SCHEDULE,
    "BackupAndRestore": "the search itself keeps the state after each epoch, and goes on from it",
    "OrbaxCheckpoint": "it saves models of Keras 3 alone; give a ModelCheckpoint",
    "SwapEMAWeights": "a moving average of the weights is kept by TrainingRecipe(ema_decay=...)",
}
_KERAS = ("keras", "tf_keras", "tensorflow")


class TrialCallbacks:
    """Copies of callbacks for one trial, called in turn as ``fit`` calls them.

    Callbacks of tf_keras and of Keras 3 are alike in all that is called here. Their ``model`` is
    the supernet, with the ``optimizer`` that trains it.

    Args:
        callbacks: From ``checked_callbacks``.
        model: The supernet.
        optimizer: Trains it.
        trial_id: Names the folder that a TensorBoard callback gets in its own.
        values: The trial's hyperparameters, which are written there for TensorBoard's HParams.
        epochs: At which training ends.
        steps: Batches an epoch.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        model: tf_keras.Model,
        optimizer: tf_keras.optimizers.Optimizer,
        *,
        trial_id: str,
        values: Mapping[str, Any],
        epochs: int,
        steps: int,
    ) -> None:
        """Makes the copies, and tells them the model."""
        self._callbacks = [copy.deepcopy(callback) for callback in callbacks]
        self._model = model
        if not self._callbacks:
            return
        model.optimizer, model.stop_training = optimizer, False
        model._train_counter.assign(0)
        for callback in self._callbacks:
            if _is(callback, "TensorBoard"):
                callback.log_dir = os.path.join(callback.log_dir, trial_id)
                writer = tf.summary.create_file_writer(callback.log_dir)
                write_hparams(writer, values, trial_id)
                writer.close()
            if getattr(callback, "mode", None) == "auto":
                # Keras 3 would ask the metrics of a compiled model.
                callback.mode = "max" if callback.monitor.endswith("accuracy") else "min"
            callback.set_model(model)
            callback.set_params({"verbose": 1, "epochs": epochs, "steps": steps})

    def batch_ended(self, batch: int, loss: float) -> None:
        """Calls ``on_train_batch_end``; ``loss`` is the epoch's mean so far, as in ``fit``."""
        if self._callbacks:
            self._model._train_counter.assign_add(1)  # from which tf_keras' callbacks read steps
            self.call("on_train_batch_end", batch, {"loss": loss})

    def call(self, hook: str, *arguments: Any) -> None:
        """Calls a hook of all callbacks.

        Args:
            hook: Its name, as ``"on_epoch_end"``.
            *arguments: What it takes, ``logs`` as a dictionary.

        Raises:
            ConfigError: If a callback asks for training to stop, or for another learning rate.
        """
        for callback in self._callbacks:
            name, before = type(callback).__name__, self._rate()
            try:
                getattr(callback, hook)(*arguments)
            except TypeError as error:
                # So tf_keras refuses a number for the rate of an optimizer that has a schedule.
                if "LearningRateSchedule" not in str(error):
                    raise
                raise ConfigError(_not_heeded(name, "learning_rate", _SCHEDULE)) from error
            if self._rate() != before:
                raise ConfigError(_not_heeded(name, "learning_rate", _SCHEDULE))
            if self._model.stop_training:
                raise ConfigError(_not_heeded(name, "stop_training", _EQUAL_EPOCHS))

    def _rate(self) -> tuple[Any, float]:
        optimizer = self._model.optimizer
        return optimizer._learning_rate, float(optimizer.learning_rate)


def _not_heeded(name: str, what: str, reason: str) -> str:
    return f"The callback {name} sets {what}, which cannot be heeded: {reason}."


def checked_callbacks(callbacks: Any) -> list[Any]:
    """Returns callbacks as a list of those that a search can heed.

    Args:
        callbacks: A list of Keras callbacks, or None.

    Raises:
        ConfigError: If one cannot be heeded, or is none.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, list | tuple):
        raise ConfigError(f"callbacks is a {type(callbacks).__name__}; give a list of callbacks.")
    for callback in callbacks:
        name = getattr(callback, "__name__", type(callback).__name__)
        if isinstance(callback, type) or not all(hasattr(callback, hook) for hook in _HOOKS):
            raise ConfigError(
                f"callbacks has {name}, which is no callback; give instances of "
                "tf_keras.callbacks.Callback or keras.callbacks.Callback."
            )
        reasons = [reason for refused, reason in _REFUSED.items() if _is(callback, refused)]
        if _is(callback, "ModelCheckpoint"):
            reasons += _reasons_against_checkpoint(callback)
        if _is(callback, "TensorBoard", "keras") and callback.histogram_freq:
            reasons.append("Keras 3's reads no weights of tf_keras; give tf_keras' TensorBoard")
        try:
            copy.deepcopy(callback)
        except Exception as error:
            reasons.append(f"each trial gets a copy, and it cannot be copied ({error})")
        if reasons:
            raise ConfigError(f"callbacks has {name}, which cannot be heeded: {reasons[0]}.")
    return list(callbacks)


def _reasons_against_checkpoint(callback: Any) -> list[str]:
    reasons = []
    if not callback.save_weights_only:
        reasons.append(
            "a supernet is saved by its weights; give it save_weights_only=True, or take "
            "tuner.load_supernet(space) after the search"
        )
    if callback.save_best_only and callback.monitor not in LOGS:
        reasons.append(f"its monitor is {callback.monitor!r}; the logs hold {' and '.join(LOGS)}")
    if getattr(callback, "load_weights_on_restart", False):
        reasons.append("load_weights_on_restart would replace the weights that are gone on with")
    return reasons


def _is(callback: Any, name: str, *packages: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.split(".")[0] in (packages or _KERAS)
        for base in type(callback).__mro__
    )
