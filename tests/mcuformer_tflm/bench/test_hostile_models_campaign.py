"""Damaged models: none is lost, any can be made again, and what is lost would be told."""

import os

import pytest

from mcuformer_tflm.bench.faults import hostile_models
from mcuformer_tflm.bench.faults.hostile_models import RAN, sound_models, try_mutants
from mcuformer_tflm.bench.faults.model_mutants import DAMAGES, mutant
from mcuformer_tflm.runtime.classifier import Classifier
from mcuformer_tflm.zoo.catalogue import model_path

# `make sanitize` tries some hundreds.
_MUTANTS = int(os.environ.get("MCUFORMER_MUTANTS", "0"))


@pytest.fixture(scope="module")
def models():
    return sound_models() if _MUTANTS else [model_path("fashion_mnist_16k").read_bytes()]


def _silent(what, done, total):
    pass


def test_a_mutant_follows_from_seed_and_number(models):
    made = [mutant(models, 0, index) for index in range(3 * len(DAMAGES))]
    assert made == [mutant(models, 0, index) for index in range(3 * len(DAMAGES))]
    assert {kind for kind, _ in made} == set(DAMAGES)
    other = [mutant(models, 1, index) for index in range(3 * len(DAMAGES))]
    assert sum(one == two for one, two in zip(made, other, strict=True)) < 5
    assert sum(content in models for _, content in made) < 5


def test_no_mutant_is_lost(models):
    count = _MUTANTS or len(DAMAGES)
    found = try_mutants(models, 3, range(1, 1 + count), _silent)
    assert (found.tried, found.lost, found.details[: found.lost]) == (count, 0, ())
    assert 0 < found.figures["ran"][0] < count


def test_a_worker_that_dies_or_hangs_is_a_loss_and_the_next_mutant_has_a_new_one(
    models, tmp_path, monkeypatch
):
    with hostile_models._Worker(models, 0, tmp_path) as worker:
        # No number: the worker falls before its first door.
        assert "ended with status 1" in worker.ask("x").problem
        answer = worker.ask(1)
        assert (answer.problem, answer.kind) == (None, tuple(DAMAGES)[1])
        with monkeypatch.context() as patch:
            patch.setattr(hostile_models, "_KILLED_AFTER", 0)
            assert worker.ask(2).problem == "no answer within 0 s"
        assert worker.ask(3).problem is None


def test_an_error_that_is_not_ours_and_two_answers_are_losses(models, tmp_path, monkeypatch):
    assert hostile_models.take_through(models[0], tmp_path) == RAN
    with monkeypatch.context() as patch:
        patch.setattr(hostile_models, "_plan", lambda model, folder: [][0])
        with pytest.raises(IndexError):
            hostile_models.take_through(models[0], tmp_path)
    with monkeypatch.context() as patch:
        run = Classifier.run
        answers = iter(range(9))
        patch.setattr(Classifier, "run", lambda *args: [x + next(answers) for x in run(*args[:2])])
        with pytest.raises(AssertionError, match="two runs differ"):
            hostile_models.take_through(models[0], tmp_path)
