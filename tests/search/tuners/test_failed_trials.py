"""What fails a trial, what stops a search at once, and what is tried again; nothing is trained."""

import json

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from tiny_search import BUDGET, SPACE, data, quiet, space_tuner

from mcuformer_tflm.keras_models.exceptions import ConfigError, DivergedError, SearchError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.oracles.subnet_baselines import GridSubnets, RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import SupernetTuner

pytestmark = pytest.mark.usefixtures("op_by_op")
IMAGES, CLASSES = data(48)
PAIR = SPACE.at(4, 0.5)
SUPERNET = Supernet(PAIR.largest())


def _spaces(folder):
    return space_tuner(folder, starts=2, steps=2, epochs=1)


def _subnets(make):
    def tuner(folder):
        return SubnetTuner(make(), SUPERNET, directory=folder, project_name="subnets", report=quiet)

    return tuner


TUNERS = [
    _spaces,
    _subnets(lambda: SubnetEvolution(PAIR, BUDGET, population=4, parents=2, generations=1)),
    _subnets(lambda: RandomSubnets(PAIR, BUDGET, subnets=4)),
    _subnets(lambda: GridSubnets(PAIR, BUDGET)),
]
each_tuner = pytest.mark.parametrize("make", TUNERS, ids=["spaces", "evolution", "random", "grid"])


def _search(tuner, **options):
    if isinstance(tuner, SupernetTuner):
        tuner.search(IMAGES, CLASSES, validation_data=(IMAGES, CLASSES), **options)
    else:
        tuner.search(validation_data=(IMAGES, CLASSES), **options)


def _answer(monkeypatch, tuner, answer):
    """Lets trials end with what ``answer`` returns, as every metric, or raises."""

    def measure(self, trial, report, **arguments):
        return dict.fromkeys(
            ("score", "accuracy", "share_that_fits", "median_margin", "memory_bytes"),
            answer(trial),
        )

    monkeypatch.setattr(type(tuner), "measure", measure)


def _raise(error):
    def answer(trial):
        raise error

    return answer


def _state(tuner):
    oracle = tuner.oracle
    return [oracle.trials[name].status for name in oracle.start_order]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        *((make, TypeError("slip")) for make in TUNERS),
        *((TUNERS[2], error) for error in (
            NameError("slip"), AttributeError("slip"), ConfigError("slip"), ValueError("slip"),
            tf.errors.InvalidArgumentError(None, None, "slip"), KeyboardInterrupt(),
        )),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_programmers_error_is_raised_at_once_and_costs_nothing(tmp_path, monkeypatch, make, error):
    tuner = make(tmp_path)
    _answer(monkeypatch, tuner, _raise(error))
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            _search(tuner)
        assert caught.value is error
        assert _state(tuner) == ["RUNNING"], "neither failed nor given up, and not repeated"
    again = make(tmp_path)
    _answer(monkeypatch, again, lambda trial: 0.5)
    _search(again)
    _search(make(tmp_path / "whole"))
    assert set(_state(again)) == {"COMPLETED"}
    whole = make(tmp_path / "whole")
    values = [[trial.hyperparameters.values for trial in one.oracle.trials.values()]
              for one in (again, whole)]  # fmt: skip
    assert values[0] == values[1], "as if nothing had been"


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (TUNERS[0], DivergedError("The loss is nan."), DivergedError),
        (TUNERS[1], MemoryError("full"), SearchError),
        (TUNERS[2], tf.errors.ResourceExhaustedError(None, None, "OOM"), SearchError),
        (TUNERS[3], keras_tuner.errors.FailedTrialError("too slow"), SearchError),
    ],
    ids=["diverged", "memory", "device", "failed"],
)
def test_search_in_which_every_trial_fails_raises_with_the_reasons_and_can_be_tried_again(
    tmp_path, monkeypatch, make, error, told
):
    tuner = make(tmp_path)
    _answer(monkeypatch, tuner, _raise(error))
    counts = []
    for new_process in (False, False, True):  # the same call again
        if new_process:
            tuner = make(tmp_path)
        before = len(tuner.oracle.end_order)
        with pytest.raises(told, match=f"Every trial .*{error}"):
            _search(tuner)
        counts.append(len(tuner.oracle.end_order) - before)
    assert counts[0] == counts[1] == counts[2] > 0
    assert set(_state(tuner)) == {"FAILED"}
    _answer(monkeypatch, tuner, lambda trial: 0.5)
    _search(tuner)
    ended = [status for status in _state(tuner) if status == "COMPLETED"]
    whole = make(tmp_path / "whole")
    _search(whole)
    assert len(ended) == len(whole.oracle.trials), "what was given up has been tried again"


@each_tuner
def test_search_survives_some_failures_and_tries_them_again_when_called_again(
    tmp_path, monkeypatch, make
):
    tuner = make(tmp_path)
    seen = []

    def second_fails(trial):
        seen.append(trial.hyperparameters.values)
        if trial.trial_id == "0001":
            raise MemoryError("full")
        return 0.5

    _answer(monkeypatch, tuner, second_fails)
    _search(tuner)
    assert _state(tuner).count("FAILED") == 1
    _search(tuner)
    assert _state(tuner).count("FAILED") == 1
    assert seen.count(seen[1]) >= 2, "it was tried again"


@each_tuner
def test_what_fails_again_beside_finished_trials_is_no_error(tmp_path, monkeypatch, make):
    tuner = make(tmp_path)
    first = []

    def first_values_fail(trial):
        values = trial.hyperparameters.values
        first.append(values)
        if values == first[0]:
            raise MemoryError("full")
        return 0.5

    _answer(monkeypatch, tuner, first_values_fail)
    for _ in range(3):
        _search(tuner)
    assert "COMPLETED" in _state(tuner)


def test_failures_are_counted_in_a_finished_state_file(tmp_path, monkeypatch):
    tuner = TUNERS[2](tmp_path)
    _answer(monkeypatch, tuner, _raise(MemoryError("full")))
    with pytest.raises(SearchError):
        _search(tuner)
    state = json.loads((tmp_path / "subnets" / "oracle.json").read_text())
    assert len(state["decisions"]["failed"]) == 4
    assert state["ongoing_trials"] == {}


def test_disk_that_is_full_for_a_moment_costs_no_trial(tmp_path, monkeypatch):
    tuner = TUNERS[2](tmp_path)
    _answer(monkeypatch, tuner, lambda trial: 0.5)
    from mcuformer_tflm.search.oracles import resumable_oracle

    write, left = resumable_oracle.write_whole, [4]

    def write_or_fail(path, text):
        left[0] -= 1
        if left[0] == 0:
            raise ConfigError("No space left")
        write(path, text)

    monkeypatch.setattr(resumable_oracle, "write_whole", write_or_fail)
    with pytest.raises(ConfigError, match="No space left"):
        _search(tuner)
    _search(tuner)
    assert _state(tuner) == ["COMPLETED"] * 4
    assert len(tuner.oracle.scores) == 4


def test_tables_can_be_asked_for_after_a_trial_was_broken_off(tmp_path, monkeypatch, capsys):
    tuner = TUNERS[2](tmp_path)
    _answer(monkeypatch, tuner, _raise(TypeError("slip")))
    with pytest.raises(TypeError):
        _search(tuner)
    _answer(monkeypatch, tuner, lambda trial: 0.5)
    _search(tuner, verbose=1)
    assert capsys.readouterr().out.count("Search: Running Trial") == 4


def test_callback_with_a_slip_stops_the_search(tmp_path):
    class Slip(tf.keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise AttributeError("slip")

    tuner = _spaces(tmp_path)
    with pytest.raises(AttributeError, match="slip"):
        _search(tuner, callbacks=[Slip()])
    assert _state(tuner) == ["RUNNING"]


def test_score_that_is_no_number_is_a_failure_with_a_reason(tmp_path, monkeypatch):
    tuner = TUNERS[2](tmp_path)
    _answer(monkeypatch, tuner, lambda trial: np.nan)
    with pytest.raises(SearchError, match="score is no number"):
        _search(tuner)
