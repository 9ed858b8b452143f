"""A search that takes seconds, for tests that interrupt it or run it in several processes."""

import os

import numpy as np

from mcuformer_tflm.keras_models.training.trainers import batches
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import ScoreSettings, SupernetTuner

SPACE = SearchSpace(
    image_size=8, channels=1, num_classes=3, patch_size=(4,), rank_ratio=(0.5, 1.0),
    embed_dim=(4, 8), depth=(1,), num_heads=(1, 2), mlp_ratio=(1.0, 2.0), head_dim=4,
)  # fmt: skip
BUDGET = Budget(10**6, 10**6, "roomy")


def data(count=96):
    """Returns images whose class is their brightest third."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, count).astype(np.int32)
    images = rng.normal(0, 0.3, (count, 8, 8, 1)).astype(np.float32)
    for image, number in zip(images, classes, strict=True):
        image[2 * number : 2 * number + 3] += 0.5
    return np.clip(images, -1, 0.99), classes


def space_tuner(
    folder, starts=2, steps=2, epochs=2, worker_timeout=60.0, report=None, space=SPACE, **options
):
    """Returns a tuner of the tiny space."""
    oracle = SpaceEvolution(
        space, starts, steps=steps, epochs=epochs, worker_timeout=worker_timeout
    )
    settings = ScoreSettings(accuracy_samples=2, fit_samples=10)
    return SupernetTuner(
        oracle, BUDGET, settings=settings, directory=folder, project_name="spaces",
        report=report or quiet, **options,
    )  # fmt: skip


def quiet(label, done, total, info=""):
    """Reports nothing."""


def search_spaces(tuner):
    """Runs a tuner of spaces."""
    images, classes = data()
    train = batches(images, classes, 16, seed=0)
    tuner.search(train, validation_data=(images[:48], classes[:48]))


def whole_search(folder, report=quiet):
    """Searches spaces and subnets; returns everything that was decided and measured."""
    # One walker, so that its second pair inherits from the first.
    tuner = space_tuner(folder, starts=1, steps=4, report=report)
    search_spaces(tuner)
    best = tuner.oracle.best_space()
    supernet, _ = tuner.load_supernet(best)
    oracle = SubnetEvolution(best, BUDGET, population=4, parents=2, generations=1)
    subnets = SubnetTuner(oracle, supernet, directory=folder, project_name="subnets", report=report)
    images, classes = data()
    subnets.search(validation_data=(images, classes))
    return {
        "visits": [list(visit) for visit in tuner.oracle.history],
        "weights": float(sum(np.abs(w).sum() for w in supernet.get_weights())),
        "scores": {a.to_json(): score for a, score in oracle.scores.items()},
        "best": oracle.best_architecture().to_json(),
    }


def leave(status=0):
    """Ends a forked process at once, without the parent's clean-up."""
    os._exit(status)
