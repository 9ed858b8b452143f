"""State files that a kill leaves whole, and trials that outlive their workers."""

import itertools
import json
import os

import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus
from oracle_runs import finish, prepare, run, step

from mcuformer_tflm.keras_models.exceptions import ConfigError, SearchError
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles import resumable_oracle
from mcuformer_tflm.search.oracles.resumable_oracle import write_changed
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

ROOMY = Budget(10**9, 10**9, "roomy")


def _space():
    return SpaceEvolution(SearchSpace(), seed=3)


def _subnets():
    return SubnetEvolution(
        FASHION_MNIST_SPACE.at(7, 0.8), ROOMY, population=6, parents=3, generations=3, seed=3
    )


def _written_rarely():
    oracle = _subnets()
    oracle._clock, oracle.save_seconds = itertools.count().__next__, 20
    return oracle


def _score(values):
    return values["rank_ratio"] + values.get("embed_dim", 0) / 100 - values["patch_size"] / 1000


class _Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "make", [_space, _subnets, _written_rarely], ids=["space", "subnets", "written rarely"]
)
def test_oracle_killed_at_any_write_goes_on_as_the_uninterrupted_one(tmp_path, monkeypatch, make):
    wanted = run(prepare(make(), tmp_path / "whole"), _score)
    rng = np.random.default_rng(0)
    replace, left = resumable_oracle.Path.replace, [0]

    def replace_or_die(path, target):
        left[0] -= 1
        if left[0] == 0:
            raise _Killed
        return replace(path, target)

    monkeypatch.setattr(resumable_oracle.Path, "replace", replace_or_die)
    oracle = prepare(make(), tmp_path / "cut")
    oracle.save()
    kills = 0
    while True:
        left[0] = int(rng.integers(1, 12))
        try:
            run(oracle, _score)
            break
        except _Killed:
            kills += 1
            oracle = prepare(make(), tmp_path / "cut")
            oracle.reload()
    assert kills > 5
    found = [oracle.trials[name].hyperparameters.values for name in oracle.start_order]
    assert found == wanted
    assert oracle.end_order == sorted(oracle.end_order)
    assert len(oracle.end_order) == len(set(oracle.end_order)) == len(wanted)
    assert all(trial.score == _score(trial.hyperparameters.values)
               for trial in oracle.trials.values())  # fmt: skip


def test_state_is_json_and_complete(tmp_path):
    oracle = prepare(_space(), tmp_path)
    for _ in range(7):
        step(oracle, _score)
    state = json.loads(json.dumps(oracle.get_state()))
    again = prepare(_space(), tmp_path)
    again.reload()
    resumed = json.loads(json.dumps(again.get_state()))
    for part in (state, resumed):
        part["tried_so_far"].sort()  # a set of keras-tuner's
    assert resumed == state


def test_project_of_another_search_is_refused_by_the_argument_that_differs(tmp_path):
    prepare(SpaceEvolution(FASHION_MNIST_SPACE, k=5), tmp_path).save()
    with pytest.raises(ConfigError, match=r"k is 5 there and 4 here.*overwrite=True"):
        prepare(SpaceEvolution(FASHION_MNIST_SPACE, k=4), tmp_path).reload()
    with pytest.raises(ConfigError, match="image_size is 28 there and 240 here"):
        prepare(SpaceEvolution(SearchSpace()), tmp_path).reload()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"trial_id": 1}', "[" * 3000, "9" * 5000])
@pytest.mark.parametrize("name", ["oracle.json", "trial.json"])
def test_damaged_project_is_refused_by_its_folder_and_the_remedy(tmp_path, name, damage):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=1), tmp_path)
    run(oracle, lambda _: 0.5)
    for path in tmp_path.rglob(name):
        path.write_text(damage)
    again = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=1), tmp_path)
    with pytest.raises(ConfigError, match=f"project in {tmp_path}.* is damaged .*Remove"):
        again.reload()


def _two_workers(tmp_path):
    now = [0.0]
    oracle = SpaceEvolution(SearchSpace(), starts=2, steps=2, epochs=1, worker_timeout=60)
    oracle._clock = lambda: now[0]
    prepare(oracle, tmp_path)
    return oracle, now, oracle.create_trial("one"), oracle.create_trial("two")


def test_trial_of_a_silent_worker_is_handed_out_again_and_ends_once(tmp_path, capsys):
    oracle, now, lost, other = _two_workers(tmp_path)
    now[0] = 50
    oracle.get_trial(other.trial_id)  # a sign of life
    now[0] = 70
    finish(oracle, other, 0.5)
    taken = oracle.create_trial("two")
    assert taken.trial_id == lost.trial_id
    assert "Worker one has been silent for 70 s" in capsys.readouterr().err
    assert "one" not in oracle.tuner_ids, "the chief does not wait for it"
    finish(oracle, taken, 0.7)
    finish(oracle, lost, 0.1)  # it was only slow; its result comes second
    assert oracle.end_order.count(lost.trial_id) == 1
    assert [visit.score for visit in oracle.history] == [0.5, 0.7]


def test_worker_that_gives_signs_of_life_keeps_its_trial(tmp_path):
    oracle, now, slow, other = _two_workers(tmp_path)
    for now[0] in range(0, 300, 30):
        oracle.get_trial(slow.trial_id)
    finish(oracle, other, 0.5)
    assert oracle.create_trial("two").trial_id != slow.trial_id


@pytest.mark.parametrize("silence", [0, 1000])
def test_worker_that_starts_again_gets_its_own_trial(tmp_path, capsys, silence):
    oracle, now, lost, _ = _two_workers(tmp_path)
    now[0] = silence
    assert oracle.create_trial("one").trial_id == lost.trial_id
    assert "Worker one" not in capsys.readouterr().err


def test_a_search_of_failures_alone_is_told_although_an_earlier_one_succeeded(tmp_path):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=3), tmp_path)
    oracle.begin_search()
    step(oracle, lambda _: 0.5)
    oracle.require_success()
    oracle.begin_search()
    finish(oracle, oracle.create_trial("one"), 0.0, TrialStatus.FAILED)
    with pytest.raises(SearchError, match="Every trial of this search failed, 1 in all"):
        oracle.require_success()


def test_chief_that_starts_again_takes_results_of_trials_handed_out_before(tmp_path):
    _, _, first, second = _two_workers(tmp_path)
    again = SpaceEvolution(SearchSpace(), starts=2, steps=2, epochs=1)
    prepare(again, tmp_path).reload()
    finish(again, first, 0.5)
    assert again.create_trial("two").trial_id == second.trial_id
    assert [visit.score for visit in again.history] == [0.5]


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"file/project/oracle.json cannot be written .*directory"
    ):
        write_whole(tmp_path / "file" / "project" / "oracle.json", "{}")


def test_file_that_holds_the_text_already_is_not_written_again(tmp_path, monkeypatch):
    path, flushed = tmp_path / "state.json", []
    monkeypatch.setattr(os, "fsync", flushed.append)
    for text in ("one", "one", "two", "two", "one"):
        write_changed(path, text)
        assert path.read_text() == text
    assert len(flushed) == 3


def test_file_is_whole_even_where_its_writing_is_not(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ConfigError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_short_trials_are_written_once_in_a_while_and_all_of_them_when_asked(tmp_path):
    oracle = prepare(_written_rarely(), tmp_path)
    for _ in range(3):
        step(oracle, _score)
    state = json.loads((tmp_path / "oracle" / "oracle.json").read_text(encoding="utf-8"))
    assert len(state["end_order"]) < 3, "the last ones are in memory alone"
    oracle.flush()
    state = json.loads((tmp_path / "oracle" / "oracle.json").read_text(encoding="utf-8"))
    assert state["end_order"] == oracle.end_order
    again = prepare(_subnets(), tmp_path)
    again.reload()
    assert again.scores == oracle.scores
    assert [trial.score for trial in again.trials.values() if trial.score] == list(
        oracle.scores.values()
    )
