"""Runs an oracle on scores that are known, without files and without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from mcuformer_tflm.search.oracles.resumable_oracle import ResumableOracle


def replay(oracle: ResumableOracle, score: Callable[[dict[str, Any]], float]) -> None:
    """Plays a whole search, one trial at a time, until the oracle stops it.

    Args:
        oracle: Its decisions are those of a search by a single worker.
        score: Returns the objective for a trial's values.
    """
    for number in itertools.count():
        name = f"{number:04d}"
        answer = oracle.populate_space(name)
        if answer["status"] == TrialStatus.STOPPED:
            return
        trial = Trial(oracle.get_space(), name, TrialStatus.RUNNING)
        trial.hyperparameters.values = answer["values"]
        trial.score, trial.status = score(answer["values"]), TrialStatus.COMPLETED
        oracle.trials[name] = trial
        oracle.trial_ended(trial)
