"""How long a step of training takes on this machine, measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tf_keras

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.batches import Batches
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.training.trainers import SubnetTrainer, SupernetTrainer
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.space import SearchSpace
from mcuformer_tflm.search.tuners.fit_arguments import ShortEpochs, Validation
from mcuformer_tflm.task.minutes import Speed, drawn, mean_macs, middle_pair

_STEPS = 4
# A step beside a pass of as many images: forward, backward, and the teacher's.
_STEP_PASSES = 4.0


def supernet_speed(
    space: SearchSpace,
    data: Batches,
    validation: Validation,
    recipe: TrainingRecipe,
    teacher: tf_keras.Model | None = None,
) -> Speed:
    """Trains a fresh supernet of middle size for some steps, and scores a subnet of it.

    Args:
        space: Holds it.
        data: What it would be trained on.
        validation: What its subnets would be scored on.
        recipe: How it would be trained.
        teacher: What it would follow.
    """
    pair = middle_pair(space)
    trainer = SupernetTrainer(Supernet(pair.largest(), recipe.precision), recipe, teacher=teacher)
    step, trace = _step(lambda steps: trainer.train(ShortEpochs(data, steps), pair), data)
    predicted, score = _scored(trainer, drawn(pair), validation)
    return Speed(step, trace + predicted, score, mean_macs(pair))


def score_speed(
    supernet: Supernet, space: SearchSpace, validation: Validation, batch_size: int
) -> Speed:
    """Scores a subnet of middle size of a trained supernet; its step is estimated from that.

    Args:
        supernet: The supernet.
        space: Its networks.
        validation: What they are scored on.
        batch_size: Images of a step.
    """
    trainer = SupernetTrainer(supernet, TrainingRecipe(precision=supernet.dtype_policy.name))
    architecture = drawn(space)
    trace, score = _scored(trainer, architecture, validation)
    step = _STEP_PASSES * score * batch_size / len(validation[0])
    return Speed(step, trace, score, num_macs(architecture))


def network_speed(
    network: tf_keras.Model,
    data: Batches,
    recipe: TrainingRecipe,
    teacher: tf_keras.Model | None = None,
) -> Speed:
    """Trains a network for some steps, which changes it.

    Args:
        network: A fresh one.
        data: What it would be trained on.
        recipe: How.
        teacher: What it would follow.
    """
    trainer = SubnetTrainer(network, recipe, teacher=teacher)
    step, trace = _step(lambda steps: trainer.train(ShortEpochs(data, steps)), data)
    return Speed(step, trace)


def _step(train: Callable[[int], float], data: Batches) -> tuple[float, float]:
    """Returns the seconds of a step, and those of the first one beyond that."""
    start = time.monotonic()
    train(1)
    traced = time.monotonic()
    steps = min(_STEPS, len(data))
    train(steps)
    step = (time.monotonic() - traced) / steps
    return step, max(0.0, traced - start - step)


def _scored(
    trainer: SupernetTrainer, architecture: Architecture, validation: Validation
) -> tuple[float, float]:
    """Returns the seconds of making the graph, and of classifying the images."""
    first = tuple(np.asarray(part)[:1] for part in validation)
    start = time.monotonic()
    trainer.accuracy(architecture, *first)
    traced = time.monotonic()
    trainer.accuracy(architecture, *validation)
    return traced - start, time.monotonic() - traced
