"""The search benchmark: strategies at equal steps, kept on disk, on a tiny space."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from mcuformer_tflm.bench import proof, recipes, search
from mcuformer_tflm.bench.any_pair import AnyPair
from mcuformer_tflm.bench.confidence import mean_and_interval
from mcuformer_tflm.bench.equal_steps import Pair, Settings, Study, Training, shared_pairs
from mcuformer_tflm.bench.kept_work import (
    HeldByOthersError,
    KeptWork,
    OutOfTimeError,
    read_lists,
)
from mcuformer_tflm.bench.proof import Job, rows_of
from mcuformer_tflm.bench.strategies import DEFAULT, STRATEGIES, VARIANTS, by_capacity
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.inheritance import inherit_weights
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.fitting_subnets import FittingSubnets, without_what_never_fits
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE, SearchSpace

SPACE = SearchSpace(
    image_size=28, channels=1, num_classes=10, patch_size=(4, 7), rank_ratio=(0.5, 1.0),
    embed_dim=(8, 16), depth=(1,), num_heads=(1,), mlp_ratio=(1.0,), head_dim=(8,),
    relative_position=True, stem=("patch", "conv"),
)  # fmt: skip
SETTINGS = Settings(
    space=SPACE, epoch_steps=1, batch_size=8, epochs=24, final_epochs=1, structured=False,
    accuracy_samples=1, fit_samples=5, score_images=20, population=2, generations=1, parents=1,
    test_images=30,
)  # fmt: skip
BUDGET = Budget(16 * 1024, 128_000, "16 KiB")


def silent(*_):
    pass


@pytest.fixture
def study(fashion_mnist, tmp_path):
    return made(fashion_mnist, tmp_path)


def made(data, folder, *, settings=SETTINGS, deadline=math.inf, pairs=None):
    kept = KeptWork(folder, deadline)
    return Study(settings, BUDGET, 0, data, kept, pairs or shared_pairs(settings, BUDGET), silent)


def epochs_spent(training):
    """Counts a chain of trainings, each once, however they hang together."""
    seen = set()
    while training is not None and training not in seen:
        seen.add(training)
        training = training.before or training.source
    return sum(one.epochs for one in seen)


@pytest.mark.parametrize("name", [*STRATEGIES, *VARIANTS])
def test_every_strategy_spends_the_same_number_of_epochs(study, name, monkeypatch):
    # Scores follow from the pair, so that nothing is trained.
    trained = set()

    def score(training):
        trained.add(training)
        return 0.01 * training.pair.patch_size + training.pair.rank_ratio / 100

    monkeypatch.setattr(study, "score", score)
    monkeypatch.setattr(study, "network_score", lambda training, network: score(training))
    found = {**STRATEGIES, **VARIANTS}[name](study)
    last = found.training
    while last is not None and last not in trained:
        trained.add(last)
        last = last.before
    assert sum(training.epochs for training in trained) == SETTINGS.epochs
    if found.network is None:
        assert found.training.only is None
    else:
        assert found.network.to_json() == found.training.only
        assert study.fit(found.network)
    if found.history:
        assert found.training.pair.patch_size in {Pair.of(s).patch_size for s in SPACE.pairs()}


@pytest.mark.usefixtures("op_by_op")
def test_search_goes_on_where_it_ended_and_trains_nothing_twice(fashion_mnist, tmp_path):
    pairs = shared_pairs(SETTINGS, BUDGET)
    training = Training(Pair(7, 0.5, "patch"), 2)
    whole = made(fashion_mnist, tmp_path / "whole", pairs=pairs)
    expected = read_lists(whole.train(training))

    broken = made(fashion_mnist, tmp_path / "broken", pairs=pairs)

    def end_after_an_epoch(label, done, total, info=""):
        if done:
            broken.kept.deadline = -math.inf

    broken.report = end_after_an_epoch
    with pytest.raises(OutOfTimeError):
        broken.train(training)
    under_way = list((tmp_path / "broken").rglob("*.under-way.npz"))
    assert len(under_way) == 1
    again = made(fashion_mnist, tmp_path / "broken", pairs=pairs)
    trainer, counted = pairs.trainer(7, "patch"), []
    train = trainer.train
    again_train = lambda *a, **k: counted.append(1) or train(*a, **k)  # noqa: E731
    trainer.train = again_train
    try:
        found = read_lists(again.train(training))
        assert len(counted) < 2, "only what was missing"
        counted.clear()
        again.train(training)
        assert not counted
    finally:
        trainer.train = train
    assert not under_way[0].exists()
    for name, arrays in expected.items():
        for one, other in zip(arrays, found[name], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("op_by_op")
def test_proof_ends_with_rows_of_what_is_done_and_says_what_lacks(
    fashion_mnist, tmp_path, monkeypatch
):
    monkeypatch.setattr(proof, "fashion_mnist", lambda: fashion_mnist)
    monkeypatch.setattr(proof, "recipe_rows", lambda *_: [])
    jobs = [Job("random_search", BUDGET, 0), Job("random_pair", BUDGET, 0)]
    short = dataclasses.replace(SETTINGS, epochs=1)
    options = {"settings": short, "then": ()}
    late = proof.run_proof(tmp_path, silent, deadline=0, first=jobs, **options)
    told = {row.metric: row for row in late}
    assert told["searches_lacking"].value == 2
    assert "random_pair_16 seed 0" in told["searches_lacking"].note
    rows = proof.run_proof(tmp_path, silent, deadline=math.inf, first=jobs, **options)
    values = {(row.case, row.metric): row.value for row in rows}
    assert 0 <= values["ablation/random_search_16/seed0", "top1"] <= 1
    assert values["proof/random_pair/16", "seeds"] == 1
    assert values["proof", "searches_lacking"] == 0
    # Both have the same pair, and so the same supernet.
    assert len(list((tmp_path / "trainings").rglob("patch*.npz"))) <= 3


def test_two_processes_do_not_take_the_same_search(tmp_path):
    one, other = KeptWork(tmp_path, math.inf), KeptWork(tmp_path, math.inf)
    with one.alone("job") as mine, other.alone("job") as theirs:
        assert (mine, theirs) == (True, False)
    with other.alone("job") as mine:
        assert mine


def test_what_another_process_is_at_is_left_to_it_and_waited_for_where_asked(tmp_path):
    one, other = KeptWork(tmp_path, math.inf), KeptWork(tmp_path, math.inf)

    def meanwhile():
        with pytest.raises(HeldByOthersError):
            other.value("kind", "name", {}, lambda: "theirs")
        return "mine"

    assert one.value("kind", "name", {}, meanwhile) == "mine"
    assert other.value("kind", "name", {}, lambda: "theirs") == "mine"
    tries = []

    def free_at_last():
        tries.append(1)
        if len(tries) < 2:
            raise HeldByOthersError
        return len(tries)

    assert other.wait_for(free_at_last) == 2
    other.deadline = -math.inf
    tries.clear()
    with pytest.raises(OutOfTimeError):
        other.wait_for(free_at_last)


def test_means_have_students_interval_and_advantages_are_of_seeds_in_pairs():
    # Two values: t is 12.706 for one degree of freedom.
    assert mean_and_interval([0.7, 0.8]) == (pytest.approx(0.75), pytest.approx(0.05 * 12.7062))
    assert mean_and_interval([0.5]) == (0.5, None)
    record = {"top1_inherited": 0.5, "arena_bytes": 1, "flash_bytes": 2, "history": [],
              "architecture": SPACE.at(7, 0.5).smallest().to_json()}  # fmt: skip
    done = {
        Job(strategy, BUDGET, seed): {**record, "top1": top1}
        for strategy, scores in {DEFAULT: (0.9, 0.7, 0.8), "random_search": (0.8, 0.5)}.items()
        for seed, top1 in enumerate(scores)
    }
    values = {(row.case, row.metric): row.value for row in rows_of(done)}
    assert values["proof/default/16", "top1_mean"] == pytest.approx(0.8)
    assert values["proof/default/16", "seeds"] == 3
    assert values["proof/default/16", "advantage_over_random"] == pytest.approx(0.15)
    assert values["proof/default/16", "advantage_ci95"] == pytest.approx(0.05 * 12.7062)
    assert ("proof/random_search/16", "advantage_over_random") not in values


def test_pair_inherits_among_shared_supernets_as_supernets_of_their_own_do():
    shared = AnyPair(SPACE, TrainingRecipe(), structured=False)
    source, heir = SPACE.at(7, 0.5), SPACE.at(4, 1.0, stem="patch")
    shared.begin(7, "patch", seed=1, steps=1)
    trained = shared.weights(7, "patch")
    shared.begin(4, "patch", seed=2, steps=1)
    shared.inherit(4, "patch", trained, source)
    # By the other route: supernets of one pair each, their ranks as they are.
    own, theirs = Supernet(source.largest()), Supernet(heir.largest())
    whole = shared.trainer(7, "patch").supernet
    for layer, given in zip(own.operators(), whole.operators(), strict=True):
        layer.set_weights([
            value[tuple(map(slice, weight.shape))]
            for weight, value in zip(layer.weights, given.get_weights(), strict=True)
        ])  # fmt: skip
    inherit_weights(theirs, own)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    found = shared.trainer(4, "patch").supernet(images)
    np.testing.assert_allclose(found, theirs(images), atol=1e-4)


def test_supernets_step_on_subnets_that_fit_alone():
    fit = Fit(BUDGET)
    space = without_what_never_fits(FASHION_MNIST_WIDE_SPACE, fit)
    assert space.embed_dim != FASHION_MNIST_WIDE_SPACE.embed_dim
    for pair in (space.at(2, 0.95), space.at(4, 0.7, stem="conv"), space):
        subnets = FittingSubnets(pair, fit)
        rng = np.random.default_rng(0)
        drawn = [subnets.sample(rng) for _ in range(5)]
        assert all(map(fit, drawn))
        assert all(map(pair.contains, drawn))


def test_no_value_is_left_out_that_a_subnet_has_which_fits():
    fit = Fit(BUDGET)
    space = without_what_never_fits(FASHION_MNIST_WIDE_SPACE, fit)
    rng = np.random.default_rng(1)
    fitting = filter(fit, (FASHION_MNIST_WIDE_SPACE.sample(rng) for _ in itertools.count()))
    assert all(space.contains(subnet) for subnet in itertools.islice(fitting, 30))


def test_capacity_puts_pairs_first_whose_fitting_subnets_compute_most(study):
    assert by_capacity(study)[0].patch_size == (4,)


def test_recipes_have_equal_multiply_accumulates(monkeypatch, fashion_mnist, tmp_path):
    epochs = {}

    def accuracy(study, pairs, count):
        epochs.setdefault(study.settings.recipe, []).append(count)
        return 0.5 + study.seed / 10

    monkeypatch.setattr(recipes, "_accuracy", accuracy)
    monkeypatch.setattr(recipes, "_MACS_SAMPLES", 20)
    rows = list(recipes.recipe_rows(
        Settings(), BUDGET, fashion_mnist, KeptWork(tmp_path, math.inf), silent
    ))  # fmt: skip
    values = {(row.case, row.metric): row.value for row in rows}
    assert values["recipe/sandwich", "accuracy_mean"] == pytest.approx(0.6)
    plain, sandwich = epochs[TrainingRecipe()], epochs[TrainingRecipe(sandwich_random=1)]
    assert max(plain) == max(sandwich) == 20
    assert min(sandwich) < 20 / 3


def test_run_without_time_names_every_search_that_lacks(fashion_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "fashion_mnist", lambda: fashion_mnist)
    monkeypatch.setattr(recipes, "_macs", lambda *_: 1.0)
    for part in ("_known_optima", "_scoring", "supernet_step_rows"):
        monkeypatch.setattr(search, part, lambda *_: [])
    rows = search.run(silent, minutes=1e-9, directory=tmp_path, picture=tmp_path / "path.png")
    assert [row.metric for row in rows] == ["searches_done", "searches_lacking"]
    jobs = [*proof.main_jobs(), *proof.further_jobs()]
    assert len(set(jobs)) == len(jobs) == rows[1].value
    assert all(f"{job.name} seed" in rows[1].note for job in jobs)
    assert not (tmp_path / "path.png").exists()


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="minutes is 0"):
        search.run(silent, minutes=0)
