"""Evolution of the space on made-up scores, without training."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_tuner.engine.trial import TrialStatus
from oracle_runs import finish, prepare, run, step

from mcuformer_tflm.bench.concave_surfaces import (
    KINDS,
    concave_surface,
    found_on_random_surfaces,
)
from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.search.oracles.evolution_step import (
    Visit,
    at_equal_epochs,
    concave_bound,
    evolve,
    fit_plane,
    look_around,
    nearest_trained,
    neighbourhood,
)
from mcuformer_tflm.search.oracles.hyperparameters import source_from_values, space_from_values
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

points = st.tuples(st.integers(0, 4), st.integers(0, 11))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_optimum_of_95_percent_of_200_concave_surfaces_is_found_in_30_of_60_trainings(kind):
    found = found_on_random_surfaces(kind, surfaces=200)
    assert (found.trials, found.pairs) == (30, 60)
    assert found.evolution >= 0.95
    assert found.random < 0.65  # half the pairs find half the optima


@pytest.mark.slow
def test_printed_equation_descends_and_finds_hardly_any_optimum():
    assert found_on_random_surfaces(surfaces=50, update="paper").evolution < 0.1


@given(st.lists(st.tuples(points, st.floats(-1, 1)), max_size=12), st.booleans())
def test_plane_is_fitted_to_any_points_without_raising(visits, twice):
    visits = visits * (1 + twice)
    slopes = fit_plane([point for point, _ in visits], [score for _, score in visits])
    assert all(map(math.isfinite, slopes))


def test_plane_is_recovered_and_is_flat_along_a_factor_that_does_not_vary():
    grid = [(x, y) for x in range(3) for y in range(3)]
    slopes = fit_plane(grid, [0.03 * x - 0.01 * y for x, y in grid])
    assert slopes == pytest.approx((0.03, -0.01), rel=1e-2)
    assert fit_plane([], []) == (0, 0)
    assert fit_plane([(1, 2)], [0.5]) == (0, 0)
    assert fit_plane([(1, 0), (1, 1), (1, 2)], [0.1, 0.2, 0.3]) == (0, pytest.approx(0.1, rel=1e-2))


def test_only_the_k_nearest_visits_of_equal_epochs_are_fitted():
    history = [Visit((0, column), 30, 0.1 * column, 0) for column in range(10)]
    history += [Visit((0, 5), 60, 9.0, 0)]
    near = neighbourhood((0, 4), 30, history, 30, k=3)
    assert [visit.point for visit in near] == [(0, 4), (0, 3), (0, 5)]
    assert {visit.epochs for visit in near} == {30}


def test_lone_space_of_many_epochs_is_compared_t_epochs_earlier():
    history = [Visit((0, 0), 30, 0.1, 0), Visit((0, 1), 30, 0.2, 0), Visit((0, 0), 60, 0.9, 0)]
    near = neighbourhood((0, 0), 60, history, 30, k=5)
    assert near == history[:2], "its own score after 30 epochs, never the one after 60"


def test_ascend_climbs_where_the_printed_equation_descends():
    # On the plane S = 0.015 x - 0.015 y, thresholds 0.01.
    slopes, limits = (0.015, -0.015), (9, 9)
    assert evolve((4, 4), slopes, (0.01, 0.01), limits, update="ascend") == (5, 3)
    # -floor(1.5) = -1 and -floor(-1.5) = +2.
    assert evolve((4, 4), slopes, (0.01, 0.01), limits, update="paper") == (3, 6)
    # A slope that is nearly flat moves nothing upwards, but a whole step as printed.
    assert evolve((4, 4), (-1e-9, 0.0), (0.01, 0.01), limits, update="ascend") == (4, 4)
    assert evolve((4, 4), (-1e-9, 0.0), (0.01, 0.01), limits, update="paper") == (5, 4)


def test_a_plane_is_trusted_two_steps_from_where_it_was_fitted():
    assert evolve((9, 9), (0.9, -0.9), (0.01, 0.01), (20, 20), update="ascend") == (11, 7)


def test_each_factor_has_its_own_threshold():
    assert evolve((4, 4), (0.02, 0.02), (0.01, 0.03), (9, 9)) == (6, 4)


@given(points, st.tuples(*[st.floats(-1e9, 1e9)] * 2), st.sampled_from(["ascend", "paper"]))
def test_moves_stay_inside_the_space(point, slopes, update):
    moved = evolve(point, slopes, (0.01, 0.01), (5, 12), update=update)
    assert 0 <= moved[0] < 5
    assert 0 <= moved[1] < 12


@given(
    st.tuples(*[st.floats(0.01, 1)] * 2), st.floats(-0.15, 0.15),
    st.tuples(st.floats(0, 4), st.floats(0, 11)), st.lists(points, min_size=2, unique=True),
)  # fmt: skip
def test_concave_score_never_exceeds_its_bound(curvature, shear, peak, scored):
    def score(point):
        x, y = np.subtract(point, peak)
        return -curvature[0] * x * x - curvature[1] * y * y - shear * min(curvature) * x * y

    scores = {point: float(score(point)) for point in scored[:-1]}
    assert score(scored[-1]) <= concave_bound(scored[-1], scores) + 1e-9


def test_best_space_is_kept_once_no_neighbour_can_win():
    scores = {(x, y): -((x - 2) ** 2) - (y - 2) ** 2 for x in range(5) for y in range(5)}
    assert look_around(scores, (5, 5), 5) == (2, 2)
    del scores[2, 2]
    assert look_around(scores, (5, 5), 5) == (2, 2)
    assert look_around(scores, (5, 5), 5, taken={(2, 2)}) != (2, 2)


def test_further_spaces_are_looked_at_where_no_near_one_is_left():
    scores = {(2, 2): 1.0, (3, 3): 0.9, (2, 3): 0.5}
    ring = set(itertools.product((1, 2, 3), repeat=2)) - set(scores)
    # Uphill by the plane: to more of the first factor, and less of the second.
    assert look_around(scores, (5, 5), 3) == (3, 1)
    assert look_around(scores, (5, 5), 3, taken=ring) == (4, 0)


def test_of_equally_near_spaces_those_near_the_best_decide():
    # Around the best one the score falls along the second factor; far away it rises.
    scores = {(2, 2): 1.0, (2, 3): 0.9, (0, 7): 0.5, (0, 8): 0.95}
    assert look_around(scores, (5, 9), 2)[1] == 1


def test_space_visited_again_asks_for_more_epochs(tmp_path):
    space = FASHION_MNIST_SPACE.at(7, 0.8)
    oracle = prepare(SpaceEvolution(space, starts=1, steps=3, epochs=4), tmp_path)
    assert [v["epochs"] for v in run(oracle, lambda _: 1.0)] == [4, 8, 12]


def test_walkers_take_turns():
    oracle = SpaceEvolution(SearchSpace(), starts=3, steps=4)
    replay(oracle, lambda values: values["rank_ratio"])
    assert [visit.walker for visit in oracle.history] == [0, 1, 2] * 4


def test_best_space_is_the_most_visited_and_ties_go_to_the_score():
    oracle = SpaceEvolution(FASHION_MNIST_SPACE, starts=3, steps=1)
    oracle._history = [
        Visit((0, 0), 30, 0.9, 0), Visit((1, 1), 30, 0.5, 1), Visit((1, 1), 60, 0.6, 1),
        Visit((1, 2), 30, 0.5, 1), Visit((1, 2), 60, 0.7, 1),
    ]  # fmt: skip
    best = oracle.best_space()
    assert (best.patch_size, best.rank_ratio) == ((7,), (0.7,))


def test_best_space_holds_a_network_that_fits(tmp_path):
    space = FASHION_MNIST_SPACE
    oracle = prepare(SpaceEvolution(space, starts=10, steps=1, epochs=1), tmp_path)
    run(oracle, lambda values: -values["patch_size"])
    assert oracle.best_space().patch_size == (4,)
    assert oracle.best_space(lambda found: found.patch_size == (7,)).patch_size == (7,)
    with pytest.raises(BudgetError, match=r"\(4, 0\.5\)"):
        oracle.best_space(lambda _: False)


def test_best_trials_are_those_of_the_best_pairs_one_each(tmp_path):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=2, steps=6), tmp_path)
    run(oracle, lambda values: values["rank_ratio"] + 0.001 * values["epochs"])
    best = oracle.best_space()
    trials = oracle.get_best_trials(100)
    first = trials[0].hyperparameters.values
    assert (first["patch_size"], first["rank_ratio"]) == (best.patch_size[0], best.rank_ratio[0])
    pairs = [(t.hyperparameters.values["patch_size"], t.hyperparameters.values["rank_ratio"])
             for t in trials]  # fmt: skip
    assert len(pairs) == len(set(pairs))
    for pair, trial in zip(pairs, trials, strict=True):
        place = FASHION_MNIST_SPACE.place(FASHION_MNIST_SPACE.at(*pair))
        last = max(visit.epochs for visit in oracle.history if visit.point == place)
        assert trial.hyperparameters.values["epochs"] == last


def test_walkers_start_at_pairs_of_their_own_from_nothing(tmp_path):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=4, steps=2, epochs=3), tmp_path)
    values = [oracle.create_trial(f"tuner{n}").hyperparameters.values for n in range(4)]
    assert len({(one["patch_size"], one["rank_ratio"]) for one in values}) == 4
    assert all(one["epochs"] == 3 and len(one) == 3 for one in values)


def test_failed_trial_uses_up_no_step_and_the_pair_is_tried_once_more(tmp_path, capsys):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=3, epochs=1), tmp_path)
    first = oracle.create_trial("tuner0")
    finish(oracle, first, 0.0, TrialStatus.FAILED)
    assert "tried once more" in capsys.readouterr().err
    again = step(oracle, lambda _: 0.5)
    assert again == first.hyperparameters.values
    assert len(run(oracle, lambda _: 0.5)) == 2
    assert len(oracle.history) == 3


def test_pair_that_fails_twice_is_given_up_and_its_walker_goes_on(tmp_path, capsys):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=2, steps=4, epochs=1), tmp_path)
    first = oracle.create_trial("tuner0")
    bad = {**first.hyperparameters.values}
    finish(oracle, first, 0.0, TrialStatus.FAILED)
    finish(oracle, oracle.create_trial("tuner0"), 0.0, TrialStatus.FAILED)
    assert "without that pair" in capsys.readouterr().err
    seen = run(oracle, lambda values: values["rank_ratio"])
    assert len(seen) == 2 * 4, "no step is lost"
    pair = bad["patch_size"], bad["rank_ratio"]
    assert pair not in [(values["patch_size"], values["rank_ratio"]) for values in seen]


def test_failures_are_counted_over_a_restart_and_forgotten_by_the_next_search(tmp_path, capsys):
    def make():
        return prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=3, epochs=1), tmp_path)

    oracle = make()
    first = oracle.create_trial("tuner0")
    finish(oracle, first, 0.0, TrialStatus.FAILED)
    resumed = make()
    resumed.reload()
    finish(resumed, resumed.create_trial("tuner0"), 0.0, TrialStatus.FAILED)
    assert "without that pair" in capsys.readouterr().err
    resumed.forget_failures()
    assert resumed.create_trial("tuner0").hyperparameters.values == first.hyperparameters.values


def test_nan_score_counts_as_a_failure(tmp_path):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=2, epochs=1), tmp_path)
    step(oracle, lambda _: math.nan)
    assert oracle.history == []
    assert len(run(oracle, lambda _: 0.5)) == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"starts": 0}, "starts is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"k": 0}, "k is 0"),
        ({"thresholds": (0.1, 0.0)}, "two positive numbers"),
        ({"thresholds": (0.1, math.nan)}, "two positive numbers"),
        ({"update": "up"}, "'ascend' and 'paper'"),
        ({"inherit": "all"}, "'nearest' and 'none'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_numbers_are_refused_by_name(argument, message):
    with pytest.raises(ConfigError, match=message):
        SpaceEvolution(FASHION_MNIST_SPACE, **argument)


def test_space_starts_from_the_nearest_trained_one():
    history = [Visit((0, 0), 30, 0.1, 0), Visit((3, 5), 30, 0.2, 1), Visit((0, 0), 60, 0.3, 0)]
    assert nearest_trained((1, 1), history) == history[2], "as it is now"
    assert nearest_trained((3, 4), history) == history[1]
    # Equally near: of another rank rather than of another patch, then the longest trained.
    history = [Visit((1, 2), 90, 0.1, 0), Visit((2, 1), 30, 0.2, 0), Visit((2, 3), 60, 0.2, 0)]
    assert nearest_trained((2, 2), history) == history[2]
    assert nearest_trained((2, 2), []) is None


def test_new_pair_counts_the_epochs_that_it_inherits_and_the_walkers_first_ones_have_none(tmp_path):
    space = FASHION_MNIST_SPACE
    oracle = prepare(SpaceEvolution(space, starts=2, steps=5, epochs=10), tmp_path)
    trained, inherited = {}, 0
    for number, values in enumerate(run(oracle, lambda values: values["rank_ratio"])):
        pair, source = space_from_values(values, space), source_from_values(values, space)
        if number < 2 or pair in trained:
            assert source is None
            assert values["epochs"] == trained.get(pair, 0) + 10
        else:
            inherited += 1
            assert values["epochs"] == trained[source] + 10
            away = {other: math.dist(space.place(pair), space.place(other)) for other in trained}
            assert away[source] == min(away.values())
        trained[pair] = values["epochs"]
    assert inherited > 2


def test_pair_that_failed_is_tried_again_from_the_same_source(tmp_path):
    def make(folder):
        return prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, steps=3, epochs=1), folder)

    oracle = make(tmp_path)
    step(oracle, lambda _: 0.5)
    trial = oracle.create_trial("tuner0")
    assert source_from_values(trial.hyperparameters.values, FASHION_MNIST_SPACE) is not None
    finish(oracle, trial, 0.0, TrialStatus.FAILED)
    resumed = make(tmp_path)
    resumed.reload()
    again = step(resumed, lambda _: 0.5)
    assert again == trial.hyperparameters.values


def test_source_is_no_pair_that_another_worker_trains_on(tmp_path):
    oracle = prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=2, steps=3, epochs=1), tmp_path)
    for _ in range(2):
        step(oracle, lambda values: values["rank_ratio"])
    (first, second) = (visit.point for visit in oracle.history)
    oracle._running["elsewhere"] = (1, first)
    values = oracle.create_trial("tuner0").hyperparameters.values
    source = source_from_values(values, FASHION_MNIST_SPACE)
    assert FASHION_MNIST_SPACE.place(source) == second


def test_project_of_before_pairs_inherited_is_gone_on_with_as_it_was_begun(tmp_path):
    def make(inherit):
        return prepare(SpaceEvolution(FASHION_MNIST_SPACE, starts=1, inherit=inherit), tmp_path)

    state = make("none").get_state()
    del state["configuration"]["inherit"], state["decisions"]["sources"]
    make("none").set_state(state)
    with pytest.raises(ConfigError, match="inherit is none there and nearest here"):
        make("nearest").set_state(state)


@given(st.integers(0, 10**6), st.floats(0, 0.2))
def test_scores_are_compared_less_what_more_epochs_gave(seed, gain):
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 0.01, 2)
    places = [divmod(int(place), 12) for place in rng.permutation(60)[:12]]
    epochs = 30 * rng.integers(1, 6, 12)
    epochs[:2] = 30, 60
    history = [
        Visit(point, int(count), float(slopes @ point) + gain * math.log2(count / 30), 0)
        for point, count in zip(places, epochs, strict=True)
    ]
    found = at_equal_epochs(history)
    wanted = {point: float(slopes @ point) for point in places}
    raw = {visit.point: visit.score for visit in history}
    errors = [
        np.ptp([scores[point] - wanted[point] for point in places]) for scores in (found, raw)
    ]
    # The slope is no part of the estimate; it may be taken for a little of the gain.
    assert errors[0] <= 0.06 + 0.1 * errors[1]


def test_scores_after_equal_epochs_stay_as_they_are():
    history = [Visit((0, 0), 30, 0.3, 0), Visit((1, 2), 30, 0.5, 0), Visit((0, 0), 60, 0.9, 0)]
    assert at_equal_epochs(history) == {(0, 0): 0.3, (1, 2): 0.5}
    assert at_equal_epochs([]) == {}
    # More epochs never count as a loss.
    worse = [Visit((0, 0), 30, 0.5, 0), Visit((0, 1), 60, 0.4, 0), Visit((0, 0), 90, 0.3, 0)]
    assert at_equal_epochs(worse) == {(0, 0): 0.5, (0, 1): 0.4}


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_a_near_optimum_is_found_although_later_pairs_inherit_more_epochs(gain):
    space, losses = SearchSpace(), []
    limits = (len(space.patch_size), len(space.rank_ratio))
    for seed in range(25):
        surface = concave_surface(np.random.default_rng(seed), "quadratic", limits)

        def score(values, surface=surface):
            place = space.place(space_from_values(values, space))
            return float(surface[place]) + gain * math.log2(values.get("epochs", 30) / 30)

        oracle = SpaceEvolution(space, seed=seed)
        replay(oracle, score)
        losses.append((surface.max() - surface[space.place(oracle.best_space())]) / np.ptp(surface))
    assert np.mean(losses) < 0.01


BOTH_STEMS = dataclasses.replace(FASHION_MNIST_SPACE, patch_size=(4, 8), stem=("patch", "conv"))


def best_with_convolutions(values):
    return 0.1 * (values["stem"] == "conv") - abs(values["rank_ratio"] - 0.7)


def test_better_stem_is_found_and_its_trials_name_it():
    oracle = SpaceEvolution(BOTH_STEMS, starts=2, steps=6)
    replay(oracle, best_with_convolutions)
    best = oracle.best_space()
    assert (best.stem, best.rank_ratio) == (("conv",), (0.7,))
    assert {trial.hyperparameters.values["stem"] for trial in oracle.trials.values()} == {
        "patch", "conv",
    }  # fmt: skip
    (first,) = oracle.get_best_trials(1)
    assert first.hyperparameters.values["stem"] == "conv"


def test_search_over_stems_goes_on_from_its_state():
    whole, part = (SpaceEvolution(BOTH_STEMS, starts=2, steps=3, epochs=1) for _ in range(2))
    replay(whole, best_with_convolutions)
    for visit in whole.history[:3]:
        part.populate_space("trial")
        part._running.clear()
        part._history.append(visit)
    resumed = SpaceEvolution(BOTH_STEMS, starts=2, steps=3, epochs=1)
    resumed.set_decisions(json.loads(json.dumps(part.decisions())))
    replay(resumed, best_with_convolutions)
    assert resumed.history == whole.history


def test_stem_that_is_left_out_is_not_visited():
    oracle = SpaceEvolution(BOTH_STEMS, starts=2, steps=4)
    oracle.leave_out([pair for pair in BOTH_STEMS.pairs() if pair.stem == ("conv",)])
    replay(oracle, best_with_convolutions)
    assert oracle.best_space().stem == ("patch",)
    assert {BOTH_STEMS.stem[stem] for (_, _, stem), *_ in oracle.history} == {"patch"}


def test_patches_that_a_stem_does_not_take_are_visited_with_the_other_alone():
    space = dataclasses.replace(BOTH_STEMS, patch_size=(2, 4, 7), rank_ratio=(0.5, 0.7))
    for update in ("ascend", "paper"):
        oracle = SpaceEvolution(space, starts=4, steps=5, update=update)
        replay(oracle, lambda values: (values["stem"] == "conv") + values["patch_size"])
        visited = {space_from_values(trial.hyperparameters.values, space)
                   for trial in oracle.trials.values()}  # fmt: skip
        assert visited <= set(space.pairs())
        assert update == "paper" or ("conv",) in {pair.stem for pair in visited}


def test_search_without_a_choice_of_stems_says_nothing_of_them():
    conv = dataclasses.replace(BOTH_STEMS, stem="conv")
    for space in (FASHION_MNIST_SPACE, conv):
        oracle = SpaceEvolution(space, starts=2, steps=2, inherit="none")
        replay(oracle, lambda values: values["rank_ratio"])
        for trial in oracle.trials.values():
            assert set(trial.hyperparameters.values) == {"patch_size", "rank_ratio", "epochs"}
        assert oracle.best_space().stem == space.stem
    assert "stem" not in SpaceEvolution(FASHION_MNIST_SPACE).configuration()["space"]
    with pytest.raises(ConfigError, match="three positive numbers"):
        SpaceEvolution(BOTH_STEMS, thresholds=(0.1, 0.1))
