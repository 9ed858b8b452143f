"""What a trial tries, where TensorBoard's HParams look for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api


def write_hparams(
    writer: tf.summary.SummaryWriter, values: Mapping[str, Any], trial_id: str
) -> None:
    """Writes a trial's hyperparameters to its folder of logs, as keras-tuner does.

    Args:
        writer: Of that folder, which holds the trial's scalars too.
        values: Of ``keras_tuner.HyperParameters``.
        trial_id: Names the trial in the table.
    """
    with writer.as_default():
        api.hparams(dict(values), trial_id=trial_id)
