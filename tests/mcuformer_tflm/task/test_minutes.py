"""How minutes become work, by the time that a step takes."""

import dataclasses

import pytest

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE
from mcuformer_tflm.task.minutes import (
    Speed,
    check_specialisation,
    kinds,
    mean_macs,
    middle_pair,
    plan_scores,
    plan_search,
    plan_teacher,
    plan_training,
    wants_teacher,
)

SPACE = FASHION_MNIST_WIDE_SPACE
# What two idle cores take, roughly.
SPEED = Speed(step=0.15, trace=12.0, score=0.5, macs=mean_macs(middle_pair(SPACE)))
SIZES = {"epoch": 429, "batch_size": 128, "tested": 10_000}


def searched(minutes, speed=SPEED, **sizes):
    return plan_search(SPACE, speed, minutes, **(SIZES | sizes))


def seconds_of(plan, speed):
    """Returns the time that a plan's searches take, were all pairs of the mean size."""
    step = speed.step * mean_macs(plan.space) / speed.macs
    visit = speed.trace + plan.visit.epochs * plan.visit.batches * step
    return plan.starts * plan.steps * visit


@pytest.mark.parametrize("minutes", [4, 10, 60, 600])
def test_spaces_take_about_a_third_of_the_time_and_leave_the_rest_to_the_chosen_subnet(minutes):
    spent = seconds_of(searched(minutes), SPEED) / (60 * minutes)
    assert 0.2 < spent <= 0.35


def test_more_minutes_give_more_of_everything_and_leave_less_out():
    plans = [searched(minutes) for minutes in (2, 6, 30, 600)]
    trainings = [plan.starts * plan.steps for plan in plans]
    assert trainings == sorted(set(trainings))
    assert trainings[-1] == 30, "the paper's"
    scored = [plan.population * (plan.generations + 1) for plan in plans]
    assert scored == sorted(scored)
    assert [bool(plan.left_out) for plan in plans] == [True, True, True, False]


def test_a_space_loses_its_largest_values_where_a_step_would_take_too_long():
    plan = searched(6)
    assert "patch_size 2" in plan.left_out
    slower = searched(6, dataclasses.replace(SPEED, step=1.0))
    assert max(slower.space.embed_dim) < max(SPACE.embed_dim)
    assert slower.starts * slower.steps == 4, "what fits is rather fewer values"
    assert min(slower.space.embed_dim) == min(SPACE.embed_dim)


def test_graphs_that_take_long_cost_trainings_and_not_the_space():
    plan = searched(6, dataclasses.replace(SPEED, trace=60.0, step=0.05))
    assert plan.starts * plan.steps == 1
    assert plan.space.embed_dim == SPACE.embed_dim


@pytest.mark.parametrize("minutes", [6, 10, 60, 600])
def test_comparing_networks_takes_about_half_of_the_time_for_one_of_each_kind(minutes):
    plan = searched(minutes, networks=True)
    spent = seconds_of(plan, SPEED) / (60 * minutes)
    assert 0.3 < spent <= 0.5
    assert (plan.steps, plan.further) == (1, 0)
    assert 3 <= plan.starts <= kinds(plan.space) <= kinds(SPACE) == 5
    told = f"networks: {plan.starts}, for {kinds(plan.space)} patch sizes and stems"
    assert (told in plan.left_out) == (plan.starts < kinds(plan.space))


def test_an_epoch_of_few_batches_is_repeated():
    plan = searched(30, epoch=20)
    assert plan.visit.batches <= 20 < plan.visit.batches * plan.visit.epochs


@pytest.mark.parametrize("minutes", [0.05, 0.7])
def test_too_few_minutes_for_an_epoch_are_refused_with_those_that_it_takes(minutes):
    with pytest.raises(ConfigError, match=rf"minutes is {minutes:g}; an epoch of 100 ") as refusal:
        searched(minutes)
    enough = float(str(refusal.value).split("Give ")[1].split()[0])
    assert searched(enough).starts == 1


def test_training_fills_what_is_left_and_rounds_for_a_quarter_of_it():
    speed = Speed(0.1, 6.0, 0.0, 1e6)
    for left in (200, 400, 1000):
        plan = plan_training(speed, left, **SIZES)
        float_seconds = plan.train.epochs * plan.train.batches * speed.step
        quantized = plan.quantized.epochs * plan.quantized.batches * speed.step * 1.77
        ending = 25 + 10_000 * 0.7 * speed.step / 128
        graphs = 3 * speed.trace
        assert 0.9 * left < float_seconds + quantized + ending + graphs <= left
        assert plan.quantized.epochs <= 2
        assert max(plan.train.batches, plan.quantized.batches) <= SIZES["epoch"]


def test_all_of_it_trains_in_float_where_calibration_is_enough():
    speed = Speed(0.1, 6.0)
    plan = plan_training(speed, 400, rounded=False, **SIZES)
    assert plan.quantized.epochs == 0
    assert not plan.left_out
    assert 300 < plan.train.epochs * plan.train.batches * speed.step < 400


def test_where_little_is_left_a_short_epoch_is_trained_and_the_model_calibrated():
    plan = plan_training(Speed(0.1, 6.0, 0.0, 1e6), 5, **SIZES)
    assert (plan.train.epochs, plan.train.batches) == (1, 50)
    assert plan.quantized.epochs == 0
    assert plan.quantized.batches > 0, "batches to calibrate on"
    assert "training with rounding: the model is calibrated only" in plan.left_out
    assert "379 of an epoch's 429 batches for the chosen subnet" in plan.left_out


def test_a_teacher_takes_a_fifth_of_many_minutes():
    assert [wants_teacher(minutes) for minutes in (5, 20, 60)] == [False, True, True]
    work = plan_teacher(Speed(0.5, 10.0), 60, epoch=429)
    assert 0.15 * 3600 < work.epochs * work.batches * 0.5 + 10 <= 0.2 * 3600
    assert plan_teacher(Speed(0.5, 10.0), 6000, epoch=429).epochs == 24, "no more than the zoo's"


def test_scores_take_a_fifth_of_a_specialisation_and_too_few_minutes_are_refused():
    speed = Speed(0.1, 3.0, 0.2, 1e6)
    population, generations = plan_scores(speed, 5)
    assert 50 < population * (generations + 1) * speed.score <= 60
    check_specialisation(speed, 5, **SIZES)
    with pytest.raises(ConfigError, match=r"minutes is 0.5; an epoch of 50 batches"):
        check_specialisation(speed, 0.5, **SIZES)
