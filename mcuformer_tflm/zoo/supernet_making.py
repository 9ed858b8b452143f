"""From a recipe to the files of a trained supernet."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.training.trainers import SupernetTrainer, predict
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.memory import flash_bytes
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.search.trained_supernet import TrainedSupernet
from mcuformer_tflm.zoo.card import digest
from mcuformer_tflm.zoo.supernet_card import SupernetCard
from mcuformer_tflm.zoo.supernet_recipe import SupernetRecipe
from mcuformer_tflm.zoo.supernets import SUPERNET_FILE
from mcuformer_tflm.zoo.training import train_supernet, train_teacher

_RANDOM_SUBNETS = 50


def make_supernet(
    recipe: SupernetRecipe, data: ImageData, out: AnyPath, work: AnyPath, progress: Progress
) -> SupernetCard:
    """Trains and measures a supernet, and writes its files.

    Args:
        recipe: What to make.
        data: The recipe's data set.
        out: Folder that gets a folder of the supernet's name, with ``supernet.npz``,
            ``card.json`` and ``card.md``.
        work: Folder that keeps the state of training; an interrupted run goes on from there.
        progress: Called with (what is being done, done, total).

    Returns:
        The supernet's card.

    Raises:
        ConfigError: If the labels are not one name for each class of the space, another process
            trains in ``work``, or something cannot be written.
        DataError: If the data set does not suit the space.
        DivergedError: If training reaches a loss that is no number.
    """
    out, work = checked_path("out", out), checked_path("work", work)
    labels = class_names(data.labels, recipe.space.num_classes)
    if data.train_images.shape[1:] != recipe.space.image_shape:
        raise DataError(
            f"{data.name} has images of {list(data.train_images.shape[1:])}, the space of "
            f"{list(recipe.space.image_shape)}."
        )
    teacher = train_teacher(recipe, data, work / "teachers", progress)
    with locked(work / recipe.name):
        supernet = train_supernet(recipe, data, teacher, work / recipe.name, progress)
    training = recipe.training
    trained = TrainedSupernet(
        supernet, recipe.space, recipe.data, labels, training.held_out, training.epochs,
        recipe.to_dict(), teacher=teacher,
    )  # fmt: skip
    folder = out / recipe.name
    path = folder / SUPERNET_FILE
    trained.save(path)
    held_out = normalise(data.train_images[-training.held_out :])
    classes = data.train_classes[-training.held_out :]
    shipped = TrainedSupernet.read(path)  # weights of 16 bits
    trainer = SupernetTrainer(shipped.supernet)
    space = recipe.space
    rng = np.random.default_rng(recipe.seed)
    subnets = [space.largest(), space.smallest()]
    subnets += [space.sample(rng) for _ in range(_RANDOM_SUBNETS)]
    found = []
    for done, subnet in enumerate(subnets):
        progress("score subnets", done, len(subnets))
        found.append(trainer.accuracy(subnet, held_out, classes))
    progress("score subnets", len(subnets), len(subnets))
    content = path.read_bytes()
    extremes = (space.smallest(), space.largest())
    least_arena, largest_arena = (arena_bytes(subnet) for subnet in extremes)
    least_flash, largest_flash = (flash_bytes(subnet) for subnet in extremes)
    card = SupernetCard(
        name=recipe.name,
        sha256=digest(content),
        data=recipe.data,
        recipe=recipe.to_dict(),
        subnets=space.num_subnets(),
        file_bytes=len(content),
        held_out=training.held_out,
        teacher_top1=float(np.mean(predict(teacher, held_out).argmax(-1) == classes)),
        largest_top1=found[0],
        smallest_top1=found[1],
        random_top1=float(np.mean(found[2:])),
        random_subnets=_RANDOM_SUBNETS,
        arena_bytes=(least_arena, largest_arena),
        flash_bytes=(least_flash, largest_flash),
    )
    card.write(folder)
    return card
