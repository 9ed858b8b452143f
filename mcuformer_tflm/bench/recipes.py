"""Ways to train a supernet, beside each other at about equal seconds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from mcuformer_tflm.bench.any_pair import AnyPair
from mcuformer_tflm.bench.confidence import mean_and_interval
from mcuformer_tflm.bench.equal_steps import (
    Pair,
    Settings,
    Study,
    Training,
    shared_pairs,
    trained_subnets,
)
from mcuformer_tflm.bench.kept_work import KeptWork, OutOfTimeError
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.architecture import Stem
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.progress import Report

# Of the settings: what differs from the proof's own.
RECIPES: dict[str, dict[str, Any]] = {
    "proof": {},
    "random_start": {"structured": False},
    "all_subnets": {"trained": "all"},
    "sandwich": {"recipe": TrainingRecipe(sandwich_random=1)},
    "sandwich_distilled": {"recipe": TrainingRecipe(sandwich_random=1, distillation_weight=0.5)},
    "ema": {"recipe": TrainingRecipe(ema_decay=0.99)},
}
SEEDS = 3
# The highest rank, since a sandwich has the largest subnet of all ranks.
_PATCH_SIZE = 4
_STEM: Stem = "conv"
_EPOCHS = 20
_SUBNETS = 16
_MACS_SAMPLES = 200


def recipe_rows(
    settings: Settings, budget: Budget, data: ImageData, kept: KeptWork, progress: Report
) -> Iterator[Row]:
    """Yields ``recipe/<name>``: the mean accuracy of subnets that fit, over seeds.

    All have the same pair, patch 4 with the convolutional stem and the highest rank, and as many
    epochs as make the multiply-accumulates of their steps equal, which is about equal seconds;
    ``equal_steps`` has the same of equal steps where that differs.

    Args:
        settings: The proof's.
        budget: Which subnets count.
        data: Fashion-MNIST.
        kept: Where everything is kept.
        progress: Called with (what is being done, done, total).
    """
    for name, changes in RECIPES.items():
        recipe = dataclasses.replace(settings, **changes)
        epochs = round(_EPOCHS * _macs(settings, budget) / _macs(recipe, budget))
        pairs = shared_pairs(recipe, budget)
        for metric, count in {"accuracy": max(1, epochs), "accuracy_equal_steps": _EPOCHS}.items():
            if metric != "accuracy" and count == epochs:
                continue
            studies = [
                Study(recipe, budget, seed, data, kept, pairs, progress) for seed in range(SEEDS)
            ]
            try:
                accuracies = [
                    kept.wait_for(functools.partial(_accuracy, study, pairs, count))
                    for study in studies
                ]
            except OutOfTimeError:
                continue
            mean, half = mean_and_interval(accuracies)
            note = f"{count} epochs, {SEEDS} seeds, {budget.name}; held-out images"
            yield Row("search", f"recipe/{name}", f"{metric}_mean", mean, "", note=note)
            yield Row("search", f"recipe/{name}", f"{metric}_ci95", half or 0.0, "", note=note)


def _pair(pairs: AnyPair) -> Pair:
    return Pair(_PATCH_SIZE, pairs.space.rank_ratio[-1], _STEM)


def _accuracy(study: Study, pairs: AnyPair, epochs: int) -> float:
    return study.accuracy_of_fitting(Training(_pair(pairs), epochs), _SUBNETS)


def _macs(settings: Settings, budget: Budget) -> float:
    """Returns the multiply-accumulates of an image in one step, forwards."""
    pairs = shared_pairs(settings, budget)
    subnets = trained_subnets(settings, Fit(budget), _pair(pairs).within(pairs.space))
    rng = np.random.default_rng(0)
    drawn = float(np.mean([num_macs(subnets.sample(rng)) for _ in range(_MACS_SAMPLES)]))
    count = settings.recipe.sandwich_random
    if count is None:
        return drawn
    part = _pair(pairs).within(pairs.space)
    return num_macs(part.largest()) + num_macs(part.smallest()) + count * drawn
