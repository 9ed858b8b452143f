"""From a recipe to a trained, quantized network."""

from __future__ import annotations

import dataclasses
import functools

import tf_keras

from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.keras_models.training.batches import ArrayBatches, batches
from mcuformer_tflm.keras_models.training.origin import data_origin, weights_origin
from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher
from mcuformer_tflm.keras_models.training.trainers import (
    SupernetTrainer,
    check_distillation,
    train_subnet,
)
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.search.build import build_supernet
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.network import describe
from mcuformer_tflm.zoo.recipe import ZooRecipe
from mcuformer_tflm.zoo.recipe_tables import Training, fingerprint_of
from mcuformer_tflm.zoo.supernet_recipe import SupernetRecipe
from mcuformer_tflm.zoo.supernets import trained_supernet


def train_teacher(
    recipe: ZooRecipe | SupernetRecipe, data: ImageData, folder: AnyPath, progress: Progress
) -> tf_keras.Model:
    """Trains the recipe's teacher, or loads it where another recipe has trained the same.

    Args:
        recipe: Whose ``teacher`` it is.
        data: What it learns.
        folder: Where teachers are kept.
        progress: Called with (what is being done, done, total).
    """
    folder = checked_path("folder", folder)
    tf_keras.utils.set_random_seed(recipe.seed)
    size, _, channels = data.train_images.shape[1:]
    teacher = convolutional_teacher(size, channels, len(data.labels), width=recipe.teacher_width)
    key = {
        "data": recipe.data,
        "seed": recipe.seed,
        "teacher": recipe.teacher.to_dict(),
        "teacher_width": recipe.teacher_width,
    }
    train_subnet(
        teacher,
        _batches(recipe.teacher, recipe.seed, data),
        recipe.teacher.epochs,
        recipe=recipe.teacher.recipe,
        progress=lambda done, total: progress("train the teacher", done, total),
        checkpoint=folder / f"{fingerprint_of(key)}.npz",
    )
    return teacher


def train_supernet(
    recipe: SupernetRecipe,
    data: ImageData,
    teacher: tf_keras.Model,
    folder: AnyPath,
    progress: Progress,
) -> Supernet:
    """Trains the recipe's supernet; goes on where an interrupted run was.

    Args:
        recipe: Which space, and how.
        data: What it learns.
        teacher: What all subnets follow besides the labels.
        folder: Where the state after each epoch is kept.
        progress: Called with (what is being done, done, total).

    Raises:
        ConfigError: If the recipe does not follow its teacher.
        DivergedError: If training reaches a loss that is no number.
    """
    training = recipe.training
    checkpoint = checked_path("folder", folder) / f"supernet-{fingerprint_of(recipe.to_dict())}.npz"
    check_distillation(training.recipe, teacher, recipe.space.image_shape, recipe.space.num_classes)
    tf_keras.utils.set_random_seed(recipe.seed)
    supernet = build_supernet(recipe.space, precision=training.recipe.precision)
    initialise_attention(supernet, recipe.seed)
    shown = _batches(training, recipe.seed, data)
    origin = {"starting_weights": weights_origin(supernet), "data": data_origin(shown)}
    total = training.epochs * len(shown)
    trainer = SupernetTrainer(
        supernet, training.recipe, steps=total, seed=recipe.seed, teacher=teacher
    )
    if checkpoint.exists():
        trainer.restore(checkpoint, origin)
    while trainer.epoch < training.epochs:
        before = trainer.epoch * len(shown)

        def report(done: int, _: int, before: int = before) -> None:
            progress("train the supernet", before + done, total)

        trainer.train(shown, recipe.space, progress=report)
        trainer.save(checkpoint, origin)
    if training.recipe.ema_decay is not None:
        trainer.optimizer.finalize_variable_values(supernet.trainable_variables)
    return supernet


def untrained_subnet(recipe: ZooRecipe, data: ImageData) -> Subnet:
    """Returns the recipe's transformer as its training starts: a supernet's share, or drawn.

    Args:
        recipe: Which network.
        data: What it is to learn.

    Raises:
        ConfigError: If the recipe's supernet does not hold the network, or learnt other data.
        DataError: If the supernet's images or classes are not those of the data.
    """
    tf_keras.utils.set_random_seed(recipe.seed)
    assert isinstance(recipe.network, Architecture)
    if recipe.supernet is None:
        subnet = build_subnet(recipe.network)
        initialise_attention(subnet, recipe.seed)
        return subnet
    trained = trained_supernet(recipe.supernet)
    if trained.data != recipe.data:
        raise ConfigError(
            f"supernet is {recipe.supernet!r}, which was trained on {trained.data}, and data is "
            f"{recipe.data!r}; give a supernet of that, or none."
        )
    trained.check_data(data.labels, data.train_images.shape[1:])
    return trained.supernet.extract(recipe.network)


def float_stretch(recipe: ZooRecipe) -> Training:
    """Returns the training in float: of a baseline, which starts from drawn weights, longer.

    Where its model starts from a supernet's, a baseline gets the epochs of that besides.

    Raises:
        ConfigError: If there is no such supernet.
    """
    training = recipe.float_training
    if recipe.like is None or recipe.like.supernet is None:
        return training
    before = trained_supernet(recipe.like.supernet).epochs
    return dataclasses.replace(training, epochs=before + training.epochs)


def train_float(
    recipe: ZooRecipe, data: ImageData, teacher: tf_keras.Model, folder: AnyPath, progress: Progress
) -> Subnet:
    """Trains the recipe's transformer in float; goes on where an interrupted run was.

    Args:
        recipe: Which network, and how.
        data: What it learns.
        teacher: What it follows besides the labels.
        folder: Where the state after each epoch is kept.
        progress: Called with (what is being done, done, total).

    Raises:
        ConfigError: If the recipe's supernet does not hold the network, or learnt other data.
        DataError: If the supernet's images or classes are not those of the data.
    """
    folder = checked_path("folder", folder)
    subnet = untrained_subnet(recipe, data)
    training = float_stretch(recipe)
    others = ("name", "arena_kib", "quantized_training")
    fields = [field for field in recipe.to_dict() if field not in others]
    train_subnet(
        subnet,
        _batches(training, recipe.seed, data),
        training.epochs,
        recipe=training.recipe,
        progress=lambda done, total: progress("train the network", done, total),
        teacher=teacher,
        checkpoint=folder / f"float-{recipe.fingerprint(*fields)}.npz",
    )
    return subnet


def train_quantized(
    recipe: ZooRecipe,
    data: ImageData,
    subnet: Subnet,
    teacher: tf_keras.Model,
    folder: AnyPath,
    progress: Progress,
) -> Subnet:
    """Trains the float network on with TF-MOT's rounding; goes on where it was interrupted.

    Args:
        recipe: How.
        data: What it learns.
        subnet: The trained float network.
        teacher: What it follows besides the labels.
        folder: Where the state after each epoch is kept.
        progress: Called with (what is being done, done, total).
    """
    folder = checked_path("folder", folder)
    training = recipe.quantized_training
    fields = [field for field in recipe.to_dict() if field not in ("name", "arena_kib")]
    return quantize(
        subnet,
        *training.shown(data),
        epochs=training.epochs,
        batch_size=training.batch_size,
        recipe=training.recipe,
        teacher=teacher,
        seed=recipe.seed,
        progress=lambda done, total: progress("train it quantized", done, total),
        checkpoint=folder / f"quantized-{recipe.fingerprint(*fields)}.npz",
    )


def train_cnn(
    recipe: ZooRecipe, data: ImageData, teacher: tf_keras.Model, folder: AnyPath, progress: Progress
) -> tf_keras.Model:
    """Trains a baseline's CNN, both stretches in float; goes on where an interrupted run was.

    Args:
        recipe: Which network, and how.
        data: What it learns.
        teacher: What it follows besides the labels.
        folder: Where the state after each epoch is kept.
        progress: Called with (what is being done, done, total).
    """
    folder = checked_path("folder", folder)
    assert isinstance(recipe.network, DepthwiseCnn)
    assert recipe.like is not None
    tf_keras.utils.set_random_seed(recipe.seed)
    model = recipe.network.build()
    fingerprint = fingerprint_of([recipe.like.to_dict(), describe(recipe.network)])
    stretches = {"first": float_stretch(recipe), "last": recipe.quantized_training}
    for stretch, training in stretches.items():
        train_subnet(
            model,
            _batches(training, recipe.seed, data),
            training.epochs,
            recipe=training.recipe,
            progress=functools.partial(progress, f"train the CNN, {stretch} stretch"),
            teacher=teacher,
            checkpoint=folder / f"{stretch}-{fingerprint}.npz",
        )
    return model


def _batches(training: Training, seed: int, data: ImageData) -> ArrayBatches:
    """Returns the training images as one stretch of a recipe wants them."""
    return batches(
        *training.shown(data), training.batch_size, seed=seed, num_classes=len(data.labels),
        recipe=training.recipe,
    )  # fmt: skip
