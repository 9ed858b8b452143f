"""Halving and the Gaussian process over pairs on made-up scores, without training."""

import itertools
import math

import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus
from oracle_runs import finish, prepare, run, step

from mcuformer_tflm.bench.concave_surfaces import KINDS, concave_surface
from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.oracles.hyperparameters import source_from_values, space_from_values
from mcuformer_tflm.search.oracles.space_gaussian_process import (
    SpaceGaussianProcess,
    expected_improvement,
    gaussian_process,
)
from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE, SearchSpace

SPACE = SearchSpace()
ORACLES = {
    "halving": lambda **options: SpaceHalving(SPACE, **options),
    "gaussian_process": lambda **options: SpaceGaussianProcess(SPACE, **options),
}


def on(surface, *, growth=0.0):
    """Scores by a table over (patch, rank), rising with epochs."""

    def score(values):
        patch = SPACE.patch_size.index(values["patch_size"])
        rank = SPACE.rank_ratio.index(values["rank_ratio"])
        return float(surface[patch, rank] + growth * math.log2(values["epochs"]))

    return score


def regret(surface, best):
    chosen = surface[SPACE.place(best)]
    return (surface.max() - chosen) / np.ptp(surface)


@pytest.mark.parametrize("kind", KINDS)
def test_gaussian_process_comes_within_5_percent_of_the_optimum_in_16_of_60_trainings(kind):
    regrets, by_chance = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        surface = concave_surface(rng, kind, (5, 12))
        oracle = SpaceGaussianProcess(SPACE, 16, seed=seed)
        replay(oracle, on(surface))
        assert len({visit.point for visit in oracle.history}) == 16
        regrets.append(regret(surface, oracle.best_space()))
        drawn = rng.permutation(surface.ravel())[:16].max()
        by_chance.append((surface.max() - drawn) / np.ptp(surface))
    assert np.mean(regrets) < 0.05
    assert np.mean(regrets) < np.mean(by_chance)


def test_halving_keeps_the_better_half_and_ends_with_the_best_of_those_that_entered():
    surface = np.random.default_rng(0).uniform(size=(5, 12))
    oracle = SpaceHalving(SPACE, 8, epochs=3)
    replay(oracle, on(surface, growth=0.01))
    rungs = [[v.point for v in oracle.history if v.walker == rung] for rung in range(4)]
    assert [len(rung) for rung in rungs] == [8, 4, 2, 0]
    assert len(oracle.history) == oracle.total
    for entered, kept in itertools.pairwise(rungs):
        assert set(kept) == set(sorted(entered, key=lambda point: -surface[point])[: len(kept)])
    assert SPACE.place(oracle.best_space()) == max(rungs[0], key=lambda point: surface[point])
    # 3 epochs, then 6 more, then 12 more: each rung takes 24.
    assert {(v.walker, v.epochs) for v in oracle.history} == {(0, 3), (1, 9), (2, 21)}


def test_trials_of_halving_say_how_many_epochs_they_train():
    oracle = SpaceHalving(SPACE, 4, epochs=2, reduction=2)
    seen = []

    def score(values):
        seen.append((values["epochs"] - oracle.epochs_of(values), values["epochs"]))
        return values["rank_ratio"]

    replay(oracle, score)
    assert seen == [(0, 2)] * 4 + [(2, 6)] * 2


def test_pairs_that_enter_have_every_stem_and_patch_size_among_them():
    oracle = SpaceHalving(FASHION_MNIST_WIDE_SPACE, 6)
    replay(oracle, lambda values: 0.5)
    entered = {(v.point[0], v.point[2]) for v in oracle.history if v.walker == 0}
    assert entered == {(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)}


def test_given_pairs_enter_first_and_those_left_out_never():
    first = [SPACE.at(24, 0.7), SPACE.at(28, 0.9), SPACE.at(16, 0.4)]
    oracle = SpaceHalving(SPACE, 3, first=first)
    oracle.leave_out(first[:1])
    replay(oracle, lambda values: values["rank_ratio"])
    entered = [v.point for v in oracle.history if v.walker == 0]
    assert entered[:2] == [SPACE.place(pair) for pair in first[1:]]
    assert SPACE.place(first[0]) not in entered
    with pytest.raises(ConfigError, match="none of the space's pairs"):
        SpaceHalving(SPACE, first=[FASHION_MNIST_WIDE_SPACE.at(4, 0.7, stem="conv")])


@pytest.mark.parametrize("name", ORACLES)
def test_pairs_inherit_from_the_nearest_and_gains_of_epochs_are_taken_off(name):
    surface = np.random.default_rng(3).uniform(0.3, 0.6, (5, 12))
    surface[2, 5] = 0.9
    oracle = ORACLES[name](epochs=1, inherit="nearest", **(
        {"first": [SPACE.at(24, 0.65)]} if name == "halving" else {}
    ))  # fmt: skip
    sources = []

    def score(values):
        sources.append(source_from_values(values, SPACE))
        return on(surface, growth=0.1)(values)

    replay(oracle, score)
    assert sources[0] is None, "there is nothing to inherit yet"
    assert any(sources[1:])
    if name == "halving":  # it entered first, with the fewest epochs
        assert SPACE.place(oracle.best_space()) == (2, 5)


@pytest.mark.parametrize("name", ORACLES)
def test_search_killed_anywhere_goes_on_to_the_same_end(name, tmp_path):
    score = on(np.random.default_rng(1).uniform(size=(5, 12)), growth=0.02)

    def fresh():
        return prepare(ORACLES[name](epochs=2, seed=4), tmp_path / "broken")

    expected = run(prepare(ORACLES[name](epochs=2, seed=4), tmp_path / "whole"), score)
    seen = []
    while True:
        oracle = fresh()
        if seen:
            oracle.reload()
        for _ in range(3):
            values = step(oracle, score)
            if values is None:
                break
            seen.append(values)
        if values is None:
            break
    assert seen == expected


@pytest.mark.parametrize("name", ORACLES)
def test_workers_side_by_side_never_train_the_same_pair(name, tmp_path):
    oracle = prepare(ORACLES[name](epochs=1), tmp_path)
    score, done = on(np.random.default_rng(2).uniform(size=(5, 12))), 0
    while True:
        trials = [oracle.create_trial(f"worker-{n}") for n in range(3)]
        running = [t for t in trials if t.status == TrialStatus.RUNNING]
        if not running:
            assert all(t.status == TrialStatus.STOPPED for t in trials)
            break
        pairs = [space_from_values(t.hyperparameters.values, SPACE) for t in running]
        assert len(set(map(SPACE.place, pairs))) == len(pairs)
        for trial in running:
            finish(oracle, trial, score(trial.hyperparameters.values))
            done += 1
    assert done == oracle.total


@pytest.mark.parametrize("name", ORACLES)
def test_pair_that_fails_twice_is_given_up_and_the_search_goes_on(name, tmp_path):
    oracle = prepare(ORACLES[name](epochs=1), tmp_path)
    trial = oracle.create_trial("tuner")
    lost = space_from_values(trial.hyperparameters.values, SPACE)
    finish(oracle, trial, None, TrialStatus.FAILED)
    trial = oracle.create_trial("tuner")
    assert space_from_values(trial.hyperparameters.values, SPACE) == lost
    finish(oracle, trial, None, TrialStatus.FAILED)
    run(oracle, lambda values: values["rank_ratio"])
    assert SPACE.place(lost) not in {visit.point for visit in oracle.history}
    assert oracle.best_space() != lost


@pytest.mark.parametrize("name", ORACLES)
def test_search_of_other_arguments_is_refused(name, tmp_path):
    prepare(ORACLES[name](seed=1), tmp_path).save()
    with pytest.raises(ConfigError, match="seed"):
        prepare(ORACLES[name](seed=2), tmp_path).reload()
    with pytest.raises(ConfigError, match="epochs is 3 in search and 2 in Space"):
        ORACLES[name](epochs=2).set_epochs(3)


@pytest.mark.parametrize(("name", "remedy"), [
    ("halving", "Let more pairs enter"), ("gaussian_process", "Raise pairs"),
])  # fmt: skip
def test_no_accepted_pair_is_told_with_what_to_change(name, remedy):
    oracle = ORACLES[name](epochs=1)
    with pytest.raises(ConfigError, match="No space has been scored"):
        oracle.best_space()
    replay(oracle, lambda values: 0.5)
    with pytest.raises(BudgetError, match=remedy):
        oracle.best_space(lambda space: False)


def test_process_goes_through_scores_but_for_noise_and_is_sure_near_them():
    known, scores = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.2, 0.6])
    means, deviations = gaussian_process(known, scores, np.array([[0, 0], [1, 1], [0.5, 0.5]]))
    assert means == pytest.approx([0.2, 0.6, 0.4], abs=0.02)
    assert deviations[2] > deviations[0]


def test_expected_improvement_is_that_of_drawn_numbers():
    drawn = np.random.default_rng(0).normal(0.4, 0.1, 200_000)
    found = expected_improvement(np.array([0.4]), np.array([0.1]), 0.45)
    assert found == pytest.approx([np.maximum(drawn - 0.45, 0).mean()], rel=0.02)
