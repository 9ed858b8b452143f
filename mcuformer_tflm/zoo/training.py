"""From a recipe to a trained, quantized network."""

from __future__ import annotations

import functools

import tf_keras

from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.subnet import Subnet, build_subnet
from mcuformer_tflm.keras_models.training.attention_start import initialise_attention
from mcuformer_tflm.keras_models.training.batches import ArrayBatches, batches
from mcuformer_tflm.keras_models.training.teacher import convolutional_teacher
from mcuformer_tflm.keras_models.training.trainers import train_subnet
from mcuformer_tflm.quantize.quantize import quantize
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.network import describe
from mcuformer_tflm.zoo.recipe import Training, ZooRecipe, fingerprint_of


def train_teacher(
    recipe: ZooRecipe, data: ImageData, folder: AnyPath, progress: Progress
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
    train_subnet(
        teacher,
        _batches(recipe.teacher, recipe.seed, data),
        recipe.teacher.epochs,
        recipe=recipe.teacher.recipe,
        progress=lambda done, total: progress("train the teacher", done, total),
        checkpoint=folder / f"{recipe.fingerprint('data', 'seed', 'teacher', 'teacher_width')}.npz",
    )
    return teacher


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
    """
    folder = checked_path("folder", folder)
    tf_keras.utils.set_random_seed(recipe.seed)
    assert isinstance(recipe.network, Architecture)
    subnet = build_subnet(recipe.network)
    initialise_attention(subnet, recipe.seed)
    others = ("name", "arena_kib", "quantized_training")
    fields = [field for field in recipe.to_dict() if field not in others]
    train_subnet(
        subnet,
        _batches(recipe.float_training, recipe.seed, data),
        recipe.float_training.epochs,
        recipe=recipe.float_training.recipe,
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
        data.train_images,
        data.train_classes,
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
    stretches = {"first": recipe.float_training, "last": recipe.quantized_training}
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
        data.train_images, data.train_classes, training.batch_size, seed=seed,
        num_classes=len(data.labels), recipe=training.recipe,
    )  # fmt: skip
