"""Plays oracles through keras-tuner's own calls, with files, on made-up scores."""

from keras_tuner.engine.trial import TrialStatus


def prepare(oracle, folder):
    """Gives an oracle its folder and silences it."""
    oracle._set_project_dir(str(folder), "oracle")
    oracle.verbose = 0
    return oracle


def finish(oracle, trial, value, status=TrialStatus.COMPLETED):
    """Ends a trial as a tuner does."""
    if status == TrialStatus.COMPLETED:
        oracle.update_trial(trial.trial_id, {oracle.objective.name: value})
    trial.status = status
    oracle.end_trial(trial)


def step(oracle, score, tuner_id="tuner0"):
    """Runs one trial; returns its values, or None at the end."""
    trial = oracle.create_trial(tuner_id)
    if trial.status == TrialStatus.STOPPED:
        return None
    values = dict(trial.hyperparameters.values)
    finish(oracle, trial, score(values))
    return values


def run(oracle, score):
    """Runs all trials and returns their values."""
    seen = []
    while (values := step(oracle, score)) is not None:
        seen.append(values)
    return seen
