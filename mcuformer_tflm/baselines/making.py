"""From a baseline's recipe to its files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import tf_keras

from mcuformer_tflm.baselines.card import BaselineCard
from mcuformer_tflm.baselines.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.baselines.measurement import accuracies, sizes
from mcuformer_tflm.baselines.recipe import BaselineRecipe
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.checkpoint import load_weights, save_halves
from mcuformer_tflm.keras_models.training.trainers import train_subnet
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.zoo.card import digest
from mcuformer_tflm.zoo.catalogue import CARD_FILE, FLOAT_FILE, MODEL_FILE
from mcuformer_tflm.zoo.training import (
    recipe_batches,
    train_float,
    train_quantized,
    train_teacher,
)

_CALIBRATION_IMAGES = 1024


def make_baseline(
    recipe: BaselineRecipe, data: ImageData, out: AnyPath, work: AnyPath, progress: Progress
) -> BaselineCard:
    """Trains, quantizes, converts and measures a baseline, and writes its files.

    A transformer goes the whole way of the zoo's. A CNN sees the same images for as many epochs
    under the same options, but its second stretch is in float too, and TFLite's post-training
    quantization follows: TF-MOT's training was tried and gave no more.

    Args:
        recipe: What to make.
        data: The recipe's data set.
        out: Folder that gets a folder of the baseline's name.
        work: Folder that keeps the state of training; an interrupted run goes on from there.
        progress: Called with (what is being done, done, total).

    Returns:
        The card.

    Raises:
        BudgetError: If the arena exceeds the recipe's.
        ConfigError: If the labels are not one name for each class of the network.
        DataError: If the data set does not suit the network.
        DivergedError: If training reaches a loss that is no number.
    """
    out = checked_path("out", out)
    work = checked_path("work", work)
    class_names(data.labels, recipe.network.num_classes)
    _check_arena(recipe, _arena_before_training(recipe, data))
    teacher = train_teacher(recipe.like, data, work / "teachers", progress)
    train = _train_cnn if isinstance(recipe.network, DepthwiseCnn) else _train_transformer
    float_model, model = train(recipe, data, teacher, work / recipe.name, progress)
    size = sizes(recipe.network, model)
    _check_arena(recipe, size["arena_bytes"])
    folder = out / recipe.name
    save_halves(float_model, folder / FLOAT_FILE)
    (folder / MODEL_FILE).write_bytes(model)
    card = BaselineCard(
        name=recipe.name,
        sha256=digest(model),
        data=recipe.like.data,
        like=recipe.like.name,
        network=recipe.description(),
        arena_budget=recipe.like.arena_budget,
        **size,
        **accuracies(recipe.network, load_float(recipe.network, folder), model, data, progress),
    )
    card.write(folder / CARD_FILE)
    return card


def load_float(network: DepthwiseCnn | Architecture, folder: AnyPath) -> tf_keras.Model:
    """Returns a baseline's float network, its weights as they are shipped, in 16 bits.

    Raises:
        CheckpointError: If its weights are missing or damaged.
    """
    folder = checked_path("folder", folder)
    model = network.build() if isinstance(network, DepthwiseCnn) else build_subnet(network)
    load_weights(model, folder / FLOAT_FILE)
    return model


def _arena_before_training(recipe: BaselineRecipe, data: ImageData) -> int:
    network = recipe.network
    if not isinstance(network, DepthwiseCnn):
        return arena_bytes(network)
    # TFLite's graph is known once it is converted; training changes nothing of its arena.
    untrained = network.convert(network.build(), normalise(data.train_images[:_CALIBRATION_IMAGES]))
    return sizes(network, untrained)["arena_bytes"]


def _check_arena(recipe: BaselineRecipe, needed: int) -> None:
    budget = recipe.like.arena_budget
    if needed > budget:
        raise BudgetError(
            f"{recipe.name} needs an arena of {needed:,} bytes; arena_kib of {recipe.like.name} "
            f"allows {budget:,}. Give it less width."
        )


def _train_transformer(
    recipe: BaselineRecipe,
    data: ImageData,
    teacher: tf_keras.Model,
    folder: Path,
    progress: Progress,
) -> tuple[tf_keras.Model, bytes]:
    assert isinstance(recipe.network, Architecture)
    like = dataclasses.replace(recipe.like, name=recipe.name, architecture=recipe.network)
    subnet = train_float(like, data, teacher, folder, progress)
    quantized = train_quantized(like, data, subnet, teacher, folder, progress)
    return subnet, convert(quantized, data.labels, arena_budget=like.arena_budget)


def _train_cnn(
    recipe: BaselineRecipe,
    data: ImageData,
    teacher: tf_keras.Model,
    folder: Path,
    progress: Progress,
) -> tuple[tf_keras.Model, bytes]:
    network, like = recipe.network, recipe.like
    assert isinstance(network, DepthwiseCnn)
    tf_keras.utils.set_random_seed(like.seed)
    model = network.build()
    told = json.dumps([dataclasses.asdict(like), recipe.description()], sort_keys=True)
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:12]
    for stretch, training in (("first", like.float_training), ("last", like.quantized_training)):
        train_subnet(
            model,
            recipe_batches(training, like.seed, data),
            training.epochs,
            recipe=training.recipe,
            progress=functools.partial(progress, f"train the CNN, {stretch} stretch"),
            teacher=teacher,
            checkpoint=folder / f"{stretch}-{fingerprint}.npz",
        )
    return model, network.convert(model, normalise(data.train_images[:_CALIBRATION_IMAGES]))
