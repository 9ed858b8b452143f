"""The front of accuracy against what subnets cost, on made-up scores, without training."""

import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_runs import prepare, run, step
from rich.console import Console

from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.fit_in_bulk import FitInBulk
from mcuformer_tflm.search.oracles.front import OBJECTIVES
from mcuformer_tflm.search.oracles.hyperparameters import architecture_from_values
from mcuformer_tflm.search.oracles.non_dominated import (
    crowded_order,
    crowding_distances,
    front_numbers,
)
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE

SPACE = dataclasses.replace(FASHION_MNIST_SPACE.at(7, 0.8), depth=(2, 3))
ROOMY = Budget(10**9, 10**9, "roomy")
BOARD = Budget.of_board("stm32f427")


def _dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=24))
def test_fronts_are_what_is_left_when_those_before_are_taken_away(costs):
    found = front_numbers(np.array(costs, float))
    left = list(range(len(costs)))
    for number in itertools.count():
        if not left:
            break
        front = [i for i in left if not any(_dominates(costs[j], costs[i]) for j in left)]
        assert set(front) == {i for i in left if found[i] == number}
        left = [i for i in left if i not in front]


def test_crowding_is_that_of_the_paper():
    # The worked rule of Deb et al.: neighbours' gaps, as shares of the range, summed.
    costs = np.array([[0.0, 8.0], [4.0, 0.0], [1.0, 5.0], [2.0, 4.0]])
    assert crowding_distances(costs)[:2].tolist() == [np.inf, np.inf]
    np.testing.assert_allclose(crowding_distances(costs)[2:], [2 / 4 + 4 / 8, 3 / 4 + 5 / 8])
    assert crowding_distances(np.ones((3, 2))).tolist() == [0, 0, 0]
    worse = np.array([[3.0, 9.0]])
    assert crowded_order(np.concatenate([worse, costs])).tolist() == [1, 2, 4, 3, 0]


def _accuracy(network):
    """Rises with width, depth and heads, and has an optimum of MLPs that costs tell nothing of."""
    early = sum(heads / (block + 1) for block, heads in enumerate(network.num_heads))
    return (
        0.5
        + 0.3 * (1 - np.exp(-network.embed_dim / 40 - early / 8))
        - 0.02 * sum(abs(ratio - 2) for ratio in network.mlp_ratio)
    )


def _score(values):
    return _accuracy(architecture_from_values(values, SPACE))


def _figures(fit, network):
    return -_accuracy(network), fit.memory_bytes(network), fit.flash_bytes(network)


@pytest.fixture(scope="module")
def known():
    """Every subnet of the space, and which of them are its front, by comparing each with each."""
    kinds = list(itertools.product(SPACE.num_heads, SPACE.mlp_ratio))
    networks = [
        SPACE.build(7, 0.8, dim, *map(tuple, zip(*blocks, strict=True)))
        for dim in SPACE.embed_dim
        for depth in SPACE.depth
        for blocks in itertools.product(kinds, repeat=depth)
    ]
    assert len(set(networks)) == SPACE.num_subnets()
    fit = Fit(ROOMY)
    figures = {network: _figures(fit, network) for network in networks}
    points = np.array(list(figures.values()))
    free = [
        not ((points <= point).all(1) & (points < point).any(1)).any() for point in figures.values()
    ]
    return figures, {figures[n] for n, kept in zip(figures, free, strict=True) if kept}


@pytest.fixture(scope="module")
def searched():
    """The front and the most accurate subnet of two seeds, by the objectives."""
    found = {}
    for objectives in (("accuracy",), OBJECTIVES[:3]):
        for seed in range(2):
            oracle = SubnetEvolution(
                SPACE, ROOMY, population=8, generations=9, objectives=objectives, seed=seed
            )
            replay(oracle, _score)
            found.setdefault(objectives, []).append(oracle)
    return found


def test_nsga_finds_more_of_the_known_front_than_accuracy_alone(known, searched):
    _, front = known
    fit = Fit(ROOMY)
    shares = {
        objectives: np.mean([
            len({_figures(fit, one.architecture) for one in oracle.front()} & front) / len(front)
            for oracle in oracles
        ])
        for objectives, oracles in searched.items()
    }  # fmt: skip
    alone, together = shares.values()
    assert together > alone + 0.1
    assert together > 0.65


def test_front_is_that_of_the_subnets_scored_and_the_most_accurate_comes_first(searched):
    for oracle in itertools.chain(*searched.values()):
        front, fit = oracle.front(), Fit(ROOMY)
        figures = {n: _figures(fit, n) for n in oracle.scores}
        best = {
            point for point in figures.values()
            if not any(_dominates(other, point) for other in figures.values())
        }  # fmt: skip
        assert {figures[one.architecture] for one in front} == best
        assert len(front) == len(best), "of equals one"
        assert front[0].accuracy == max(oracle.scores.values())
        assert [one.accuracy for one in front[:3]] == sorted(
            (one.accuracy for one in front[:3]), reverse=True
        )
        # Accuracy alone still says what the best is.
        assert oracle.scores[oracle.best_architecture()] == front[0].accuracy
        assert len(oracle.front(("accuracy",))) == 1


def test_front_is_told_and_drawn_with_the_budgets_limits(searched, tmp_path):
    small = Budget.of_board("stm32f427", 20_000, milliseconds=40)
    oracle = RandomSubnets(SPACE, small, subnets=12)
    replay(oracle, _score)
    front = oracle.front()
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(front.table(rows=3))
    told = console.export_text()
    assert f"{len(front)} of 12 subnets that none beats in accuracy and memory and flash" in told
    assert "20,000 bytes of arena" in told
    assert "40 ms" in told
    assert f"{front[0].accuracy:.4f}" in told
    assert len([line for line in told.splitlines() if line.startswith("│")]) == 3
    for name, kind in (("front.svg", b"<?xml"), ("front.png", b"\x89PNG")):
        front.draw(tmp_path / "deep" / name)
        assert (tmp_path / "deep" / name).read_bytes().startswith(kind)
    drawn = (tmp_path / "deep" / "front.svg").read_text(encoding="utf-8")
    assert drawn.count("<!-- budget") == 4, "three axes and the legend"
    assert "budget 20,000" in drawn


def test_search_of_the_front_goes_on_where_it_was(tmp_path):
    def make(folder, objectives=OBJECTIVES):
        oracle = SubnetEvolution(
            SPACE, BOARD, population=6, generations=2, objectives=objectives, seed=3
        )
        return prepare(oracle, folder)

    whole = make(tmp_path / "whole")
    run(whole, _score)
    cut = make(tmp_path / "cut")
    for _ in range(10):
        step(cut, _score)
    again = make(tmp_path / "cut")
    again.reload()
    run(again, _score)
    assert again.scores == whole.scores
    assert list(again.front()) == list(whole.front())
    assert all(one.milliseconds > 0 for one in again.front())
    for others in (OBJECTIVES[:2], ("accuracy",)):
        with pytest.raises(ConfigError, match="objectives is"):
            make(tmp_path / "cut", others).reload()


def test_search_of_before_there_was_a_choice_goes_on_with_accuracy_alone(tmp_path):
    oracle = SubnetEvolution(SPACE, ROOMY, population=4, generations=1)
    state = oracle.get_state()
    del state["configuration"]["objectives"]
    same = SubnetEvolution(SPACE, ROOMY, population=4, generations=1)
    prepare(same, tmp_path).set_state(state)
    other = SubnetEvolution(
        SPACE, ROOMY, population=4, parents=10, generations=1, objectives=OBJECTIVES[:2]
    )
    with pytest.raises(ConfigError, match=r"objectives is \['accuracy'\] there"):
        prepare(other, tmp_path).set_state(state)


def test_accuracy_alone_is_the_papers_search_and_what_it_proposed_before(tmp_path):
    oracle = SubnetEvolution(SPACE, ROOMY)
    assert oracle.objectives == ("accuracy",)
    assert oracle.parents == 10
    assert SubnetEvolution(SPACE, ROOMY, objectives=OBJECTIVES[:2]).parents == 50
    # One drawn after the other, as before they were checked together.
    rng, expected = np.random.default_rng(0), {}
    while len(expected) < 50:
        expected[SPACE.sample(rng)] = None
    assert [json.loads(text) for text in oracle.more()] == [
        json.loads(network.to_json()) for network in expected
    ]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("memory_bytes",), "'accuracy' among them"),
        (("accuracy", "accuracy"), "must be there once"),
        (("accuracy", "watts"), "watts"),
        ("accuracy", "give a tuple"),
        ((), "give a tuple"),
        (("accuracy", "milliseconds"), "the budget has no board"),
    ],
)
def test_objectives_that_are_none_are_refused(objectives, message):
    with pytest.raises(ConfigError, match=message):
        SubnetEvolution(SPACE, ROOMY, objectives=objectives)
    with pytest.raises(ConfigError, match=message):
        RandomSubnets(SPACE, ROOMY).front(objectives)


def test_front_of_nothing_scored_is_refused():
    with pytest.raises(ConfigError, match="No subnet has been scored"):
        RandomSubnets(SPACE, ROOMY).front()


def _halfway(figure):
    return (figure(SPACE.smallest()) + figure(SPACE.largest())) / 2


# An external flash of which much is used; the disco's SRAM lies in two banks.
CROWDED = dataclasses.replace(get_board("stm32f746-discovery"), flash=32 * 1024, name="crowded")


@pytest.mark.parametrize("memory", ["arena", "eq5"])
@pytest.mark.parametrize(
    "board", ["stm32f427", CROWDED, None], ids=["internal flash", "external flash", "no board"]
)
@pytest.mark.parametrize(("share", "seed"), [(0.94, 81), (0.6, 0)])
def test_what_fits_is_told_in_bulk_as_one_by_one(board, memory, share, seed):
    rng = np.random.default_rng(seed)
    roomy = Fit(ROOMY, memory)
    arena = int(share * _halfway(roomy.memory_bytes))
    if board is None:
        fit = Fit(Budget(arena, int(_halfway(roomy.flash_bytes)), "half"), memory)
    else:
        time = _halfway(Fit(Budget.of_board(board)).milliseconds)
        budget = Budget.of_board(board, milliseconds=share * time)
        fit = Fit(dataclasses.replace(budget, arena=arena, banks=(4096,)), memory)
    networks = [SPACE.sample(rng) for _ in range(16)]
    told = FitInBulk(SPACE, fit)(networks)
    assert told.tolist() == [fit(network) for network in networks]
    assert FitInBulk(SPACE, fit)([]).size == 0
