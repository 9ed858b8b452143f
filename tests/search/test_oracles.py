"""The oracles on made-up scores, without training."""

import json

import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus

from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.evolution_step import evolve, fit_plane
from mcuformer_tflm.search.hyperparameters import (
    architecture_from_values,
    values_from_architecture,
)
from mcuformer_tflm.search.memory import num_macs
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace
from mcuformer_tflm.search.space_evolution import SpaceEvolution
from mcuformer_tflm.search.subnet_evolution import SubnetEvolution

SPACE = FASHION_MNIST_SPACE.at(7, 0.8)


def _prepare(oracle, folder):
    oracle._set_project_dir(str(folder), "oracle")
    oracle.verbose = 0
    return oracle


def _step(oracle, objective, score):
    """Runs one trial; returns its values, or None at the end."""
    trial = oracle.create_trial("tuner0")
    if trial.status == TrialStatus.STOPPED:
        return None
    values = trial.hyperparameters.values
    oracle.update_trial(trial.trial_id, {objective: score(values)})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)
    return values


def _run(oracle, objective, score):
    seen = []
    while (values := _step(oracle, objective, score)) is not None:
        seen.append(dict(values))
    return seen


def _peak_at(patch_size, rank_ratio):
    # Falls by a threshold a step in each factor.
    return lambda values: (
        1
        - 0.02 * abs(values["patch_size"] - patch_size) / 4
        - 0.02 * abs(values["rank_ratio"] - rank_ratio) / 0.05
    )


def test_plane_is_found_from_few_or_many_points():
    assert fit_plane([], []) == (0, 0)
    assert fit_plane([(1, 2)], [0.5]) == (0, 0)
    points = [(x, y) for x in range(3) for y in range(3)]
    slopes = fit_plane(points, [0.03 * x - 0.01 * y for x, y in points])
    assert slopes == pytest.approx((0.03, -0.01), rel=1e-2)


def test_ascend_climbs_where_the_printed_equation_descends():
    slopes, limits = (0.025, -0.025), (9, 9)
    assert evolve((4, 4), slopes, (0.01, 0.01), limits, "ascend") == (6, 2)
    # -floor(2.5) = -2 and -floor(-2.5) = +3.
    assert evolve((4, 4), slopes, (0.01, 0.01), limits, "paper") == (2, 7)
    # A slope that is nearly flat moves nothing upwards, but a whole step as printed.
    assert evolve((4, 4), (-1e-9, 0.0), (0.01, 0.01), limits, "ascend") == (4, 4)
    assert evolve((4, 4), (-1e-9, 0.0), (0.01, 0.01), limits, "paper") == (5, 4)


def test_moves_are_clamped_to_the_space():
    assert evolve((0, 8), (-9.0, 9.0), (0.01, 0.01), (5, 9)) == (0, 8)


def test_walkers_climb_a_concave_score(tmp_path):
    starts, ends = [], []
    for seed in range(12):
        oracle = _prepare(SpaceEvolution(SearchSpace(), steps=6, seed=seed), tmp_path / str(seed))
        score = _peak_at(24, 0.7)
        seen = _run(oracle, "score", score)
        assert len(seen) == 5 * 6
        starts += [score(values) for values in seen[:5]]
        ends += [score(values) for values in seen[-5:]]
    # One step of either factor is 0.02: on average a walker gains at least one.
    assert np.mean(ends) > np.mean(starts) + 0.02


def test_space_visited_again_asks_for_more_epochs(tmp_path):
    oracle = _prepare(SpaceEvolution(SPACE, starts=1, steps=3, epochs=4), tmp_path)
    assert [v["epochs"] for v in _run(oracle, "score", lambda _: 1.0)] == [4, 8, 12]


def test_best_space_holds_a_network_that_fits(tmp_path):
    space = FASHION_MNIST_SPACE
    oracle = _prepare(SpaceEvolution(space, starts=10, steps=1, epochs=1), tmp_path)
    _run(oracle, "score", lambda values: -values["patch_size"])
    assert oracle.best_space().patch_size == (4,)
    assert oracle.best_space(lambda found: found.patch_size == (7,)).patch_size == (7,)
    with pytest.raises(BudgetError, match=r"\(4, 0\.5\)"):
        oracle.best_space(lambda _: False)


@pytest.mark.parametrize("make", ["space", "subnet"])
def test_reloaded_oracle_goes_on_as_the_first_would_have(tmp_path, make):
    def new(folder):
        if make == "space":
            return _prepare(SpaceEvolution(SearchSpace(), seed=3), tmp_path / folder)
        oracle = SubnetEvolution(SPACE, lambda _: True, "all", 6, 3, 3, seed=3)
        return _prepare(oracle, tmp_path / folder)

    def score(values):
        return values["rank_ratio"] if make == "space" else values["embed_dim"]

    def used(values):
        # keras-tuner fills the values of blocks beyond the depth at random.
        return values if make == "space" else architecture_from_values(values, SPACE)

    objective = "score" if make == "space" else "accuracy"
    wanted = _run(new("whole"), objective, score)
    interrupted = new("cut")
    found = [dict(_step(interrupted, objective, score)) for _ in range(7)]
    state = json.loads(json.dumps(interrupted.get_state()))
    resumed = new("cut")
    resumed.reload()
    assert json.loads(json.dumps(resumed.get_state()))["end_order"] == state["end_order"]
    found += _run(resumed, objective, score)
    assert [used(values) for values in found] == [used(values) for values in wanted]


def test_subnets_fit_and_are_never_proposed_twice(tmp_path):
    limit = 1_000_000
    oracle = SubnetEvolution(SPACE, lambda a: num_macs(a) < limit, "MACs", 10, 4, 5, seed=1)
    seen = _run(_prepare(oracle, tmp_path), "accuracy", lambda values: values["depth"])
    networks = [architecture_from_values(values, SPACE) for values in seen]
    assert len(set(networks)) == len(networks)
    assert 30 < len(networks) <= 60, "later generations may run out of new subnets"
    assert all(num_macs(network) < limit for network in networks)
    assert oracle.best_architecture().depth == max(network.depth for network in networks)


def test_evolution_finds_better_subnets_than_its_first_generation(tmp_path):
    oracle = SubnetEvolution(SPACE, lambda _: True, "all", 10, 4, 6, seed=2)

    def score(values):
        return num_macs(architecture_from_values(values, SPACE))

    seen = _run(_prepare(oracle, tmp_path), "accuracy", score)
    assert max(map(score, seen)) > max(map(score, seen[:10]))


def test_space_without_a_fitting_subnet_names_smallest_and_remedy():
    with pytest.raises(BudgetError, match=r"tiny.*embed_dim 32.*larger board"):
        SubnetEvolution(SPACE, lambda _: False, "tiny")


def test_bad_numbers_are_refused_by_name():
    with pytest.raises(ConfigError, match="steps is 0"):
        SpaceEvolution(SPACE, steps=0)
    with pytest.raises(ConfigError, match="'ascend' and 'paper'"):
        SpaceEvolution(SPACE, update="up")
    with pytest.raises(ConfigError, match="population is 1"):
        SubnetEvolution(SPACE, lambda _: True, "all", population=1)


def test_network_survives_hyperparameters():
    network = FASHION_MNIST_SPACE.sample(np.random.default_rng(8))
    values = values_from_architecture(network)
    assert architecture_from_values(values, FASHION_MNIST_SPACE) == network
