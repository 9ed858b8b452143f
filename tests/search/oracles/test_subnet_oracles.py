"""The oracles of subnets on made-up scores, without training."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_tuner.engine.trial import TrialStatus
from oracle_runs import finish, prepare, run

from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.memory import eq5_bytes, flash_bytes, num_macs
from mcuformer_tflm.search.oracles.hyperparameters import (
    architecture_from_values,
    values_from_architecture,
)
from mcuformer_tflm.search.oracles.subnet_baselines import GridSubnets, RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

SPACE = FASHION_MNIST_SPACE.at(7, 0.8)
ROOMY = Budget(10**9, 10**9, "roomy")


def _typical(space=SPACE):
    """A budget between the smallest and the largest network."""
    fit = Fit(ROOMY)
    small, large = space.smallest(), space.largest()
    arena = (fit.memory_bytes(small) + fit.memory_bytes(large)) // 2
    flash = (flash_bytes(small) + flash_bytes(large)) // 2
    return Budget(arena, flash, "typical")


def _score(values):
    return _score_of(architecture_from_values(values, SPACE))


def _score_of(network):
    return float(num_macs(network))


@pytest.mark.parametrize("memory", ["arena", "eq5"])
@pytest.mark.parametrize(
    "make",
    [
        lambda budget, memory: SubnetEvolution(
            SPACE, budget, memory=memory, population=10, parents=4, generations=5, seed=1
        ),
        lambda budget, memory: RandomSubnets(SPACE, budget, memory=memory, subnets=40, seed=1),
        lambda budget, memory: GridSubnets(SPACE, budget, memory=memory),
    ],
    ids=["evolution", "random", "grid"],
)
def test_subnets_fit_sram_and_flash_and_are_never_proposed_twice(tmp_path, make, memory):
    budget = _typical()
    if memory == "eq5":
        budget = Budget(eq5_bytes(SPACE.largest()) * 4 // 5, budget.flash, "eq5")
    oracle = make(budget, memory)
    seen = run(prepare(oracle, tmp_path), _score)
    networks = [architecture_from_values(values, SPACE) for values in seen]
    assert 5 < len(networks) <= oracle.total
    assert len(set(networks)) == len(networks)
    figure = eq5_bytes if memory == "eq5" else Fit(budget).memory_bytes
    assert all(figure(network) <= budget.arena for network in networks)
    assert all(flash_bytes(network) <= budget.flash for network in networks)
    assert num_macs(oracle.best_architecture()) == max(map(num_macs, networks))


def test_values_given_as_ints_and_as_floats_are_proposed_once(tmp_path):
    space = dataclasses.replace(SPACE, depth=1, mlp_ratio=(2, 3), embed_dim=np.array([32, 48]))
    oracle = SubnetEvolution(space, ROOMY, population=8, parents=4, generations=3)
    seen = [
        architecture_from_values(values, space)
        for values in run(prepare(oracle, tmp_path), lambda values: values["embed_dim"])
    ]
    assert len(seen) == len(set(seen)) == space.num_subnets() == 12


def test_evolution_beats_random_subnets_at_the_same_number_of_trials():
    evolved, drawn = [], []
    for seed in range(5):
        evolution = SubnetEvolution(
            SPACE, ROOMY, population=10, parents=4, generations=9, seed=seed
        )
        chance = RandomSubnets(SPACE, ROOMY, subnets=100, seed=seed)
        for oracle, bests in ((evolution, evolved), (chance, drawn)):
            replay(oracle, _score)
            bests.append(num_macs(oracle.best_architecture()))
    assert np.mean(evolved) > np.mean(drawn)


def test_a_generation_is_half_children_and_half_mutants_of_the_best_so_far(monkeypatch):
    bred = []

    def record(name, parents):
        made = getattr(SearchSpace, name)

        def recorded(space, *arguments, **options):
            bred.append((name, *arguments[:parents], options))
            return made(space, *arguments, **options)

        monkeypatch.setattr(SearchSpace, name, recorded)

    record("crossover", 2)
    record("mutate", 1)
    oracle = SubnetEvolution(
        SPACE, ROOMY, population=11, parents=4, generations=2, whole_probability=0.7,
        block_probability=0.6, seed=1,
    )  # fmt: skip
    for generation in range(3):
        best = list(map(Architecture.from_json, oracle.ranking()[:4]))
        before, pending = len(bred), oracle.more()
        assert 8 <= len(pending) == len(set(pending)) <= 11, "fewer where parents are alike"
        names = [name for name, *_ in bred[before:]]
        assert names == sorted(names), "children first, then mutants"
        assert (generation == 0) == (not names)
        if names:
            # Some draws are in vain: of what is there already, or of a pair of equal parents.
            assert names.count("crossover") >= 5
            assert names.count("mutate") >= 6
            assert {parent for _, *parents, _ in bred[before:] for parent in parents} == set(best)
        oracle._scores |= {text: _score_of(Architecture.from_json(text)) for text in pending}
    assert oracle.more() == []
    assert all(
        options == {"whole_probability": 0.7, "block_probability": 0.6}
        for name, *_, options in bred
        if name == "mutate"
    )


def test_next_generation_waits_for_the_scores_of_the_last_one_and_a_failure_is_tried_again(
    tmp_path,
):
    oracle = prepare(SubnetEvolution(SPACE, ROOMY, population=2, generations=1), tmp_path)
    first, second = oracle.create_trial("one"), oracle.create_trial("two")
    assert oracle.create_trial("three").status == TrialStatus.IDLE
    finish(oracle, first, 0.5)
    assert oracle.create_trial("three").status == TrialStatus.IDLE
    finish(oracle, second, 0.0, TrialStatus.FAILED)
    bred = oracle.create_trial("one")
    assert bred.status == TrialStatus.RUNNING
    oracle.forget_failures()
    again = oracle.create_trial("two")
    assert again.hyperparameters.values == second.hyperparameters.values
    finish(oracle, again, 0.9)
    assert oracle.best_architecture() == architecture_from_values(
        second.hyperparameters.values, SPACE
    )


def test_defaults_are_the_papers():
    oracle = SubnetEvolution(SPACE, ROOMY)
    assert (oracle.population, oracle.generations) == (50, 20)
    assert (oracle.whole_probability, oracle.block_probability) == (0.2, 0.4)


def test_a_grid_is_every_subnet_of_equal_blocks_that_fits_with_stems_that_take_its_patches():
    space = dataclasses.replace(
        FASHION_MNIST_SPACE, patch_size=(4, 7), rank_ratio=(0.5,), embed_dim=(16, 32),
        depth=(1, 2), num_heads=(1, 2), mlp_ratio=(2.0,), stem=("patch", "conv"),
    )  # fmt: skip
    # Convolutions halve an image: to patches of 4, never to those of 7.
    pairs = [(4, "patch"), (4, "conv"), (7, "patch")]
    every = {
        space.build(patch, 0.5, width, (heads,) * depth, (2.0,) * depth, stem=stem)
        for (patch, stem), width, depth, heads in itertools.product(pairs, (16, 32), (1, 2), (1, 2))
    }
    memory = sorted(map(Fit(ROOMY).memory_bytes, every))
    budget = Budget(memory[len(memory) // 2], 10**9, "half of them")
    fitting = {network for network in every if Fit(ROOMY).memory_bytes(network) <= budget.arena}
    oracle = GridSubnets(space, budget)
    assert {Architecture.from_json(text) for text in oracle.more()} == fitting
    assert oracle.total == len(fitting) < len(every)


def test_population_is_full_where_hardly_any_subnet_fits():
    # One network in some thousands: drawing alone would find too few.
    space = SearchSpace().at(16, 0.4)
    fit = Fit(ROOMY)
    small = space.smallest()
    budget = Budget(
        int(fit.memory_bytes(small) * 1.01), int(fit.flash_bytes(small) * 1.05), "tight"
    )
    oracle = SubnetEvolution(space, budget, population=10, generations=0, seed=0)
    replay(oracle, lambda _: 0.5)
    assert len(oracle.scores) == 10
    assert all(map(oracle.fit, oracle.scores))


def test_space_without_a_fitting_subnet_names_the_nearest_and_what_it_misses_by():
    small = [FASHION_MNIST_SPACE.at(patch, 0.5).smallest() for patch in (4, 7)]
    fit = Fit(ROOMY)
    least = min(map(fit.memory_bytes, small))
    budget = Budget(least - 100, 10**9, "tiny")
    with pytest.raises(BudgetError) as caught:
        SubnetEvolution(FASHION_MNIST_SPACE, budget)
    message = str(caught.value)
    assert "patch_size 7, rank_ratio 0.5, embed_dim 32, depth 2" in message
    assert f"exceeds arena by 100 bytes ({least:,} of {least - 100:,})" in message
    assert "larger board" in message


def test_flash_alone_can_exclude_every_subnet():
    with pytest.raises(BudgetError, match=r"exceeds flash by .* of 1,000"):
        RandomSubnets(SPACE, Budget(10**9, 1000, "no flash"))


def test_bad_numbers_are_refused_by_name():
    with pytest.raises(ConfigError, match="population is 1"):
        SubnetEvolution(SPACE, ROOMY, population=1)
    with pytest.raises(ConfigError, match=r"whole_probability is 1\.5"):
        SubnetEvolution(SPACE, ROOMY, whole_probability=1.5)
    with pytest.raises(ConfigError, match="subnets is 0"):
        RandomSubnets(SPACE, ROOMY, subnets=0)
    with pytest.raises(ConfigError, match="'arena' and 'eq5'"):
        SubnetEvolution(SPACE, ROOMY, memory="sram")


@given(st.integers(0, 10**6))
def test_network_survives_hyperparameters_whole(seed):
    network = FASHION_MNIST_SPACE.sample(np.random.default_rng(seed))
    values = values_from_architecture(network, FASHION_MNIST_SPACE)
    assert architecture_from_values(values, FASHION_MNIST_SPACE) == network
    assert len(values) == 4 + 2 * 4, "no value is left for keras-tuner to draw"


@given(st.integers(0, 10**6))
def test_smaller_networks_stay_in_the_space_and_need_no_more(seed):
    space = FASHION_MNIST_SPACE
    network = space.sample(np.random.default_rng(seed))
    for smaller in space.smaller(network):
        assert space.contains(smaller)
        assert flash_bytes(smaller) <= flash_bytes(network)
    assert bool(space.smaller(network)) == (
        network != space.at(network.patch_size, network.rank_ratio).smallest()
    )
