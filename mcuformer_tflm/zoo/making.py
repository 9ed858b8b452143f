"""From a recipe to the files of a model, or of a baseline."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from mcuformer_tflm.convert.builtin import MIN_CALIBRATION_IMAGES
from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.keras_models.folder_lock import locked
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.training.checkpoint import save_halves
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.quantize.report import SQNR_FILE, SQNR_IMAGES, quantization_report
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.zoo.card import BoardFigures, ModelCard, digest
from mcuformer_tflm.zoo.catalogue import FLOAT_FILE, MODEL_FILE
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.measurement import (
    BOARDS,
    board_figures,
    host_arena_bytes,
    open_model,
    sizes,
)
from mcuformer_tflm.zoo.network import describe, load_network
from mcuformer_tflm.zoo.recipe import ZooRecipe
from mcuformer_tflm.zoo.training import (
    float_stretch,
    train_cnn,
    train_float,
    train_quantized,
    train_teacher,
    untrained_subnet,
)

_CALIBRATION_IMAGES = 1024


@dataclasses.dataclass(frozen=True)
class _Trained:
    """A trained network: in float, with TF-MOT's rounding where there is such, and converted."""

    float_model: tf_keras.Model
    float_epochs: int
    quantized: Subnet | None
    model: bytes


def make_model(
    recipe: ZooRecipe, data: ImageData, out: AnyPath, work: AnyPath, progress: Progress
) -> ModelCard:
    """Trains, quantizes, converts and measures a model or a baseline, and writes its files.

    A baseline's transformer goes the whole way of the zoo's, from drawn weights
    (``float_stretch``). A CNN sees the same images for as many epochs under the same options, but
    its second stretch is in float too, and TFLite's post-training quantization follows: TF-MOT's
    training was tried and gave no more.

    Args:
        recipe: What to make.
        data: The recipe's data set.
        out: Folder that gets a folder of the model's name, with ``model.tflite``, ``float.npz``
            (the float weights, 16 bits each) and ``card.json``; of a model of the zoo, with
            ``card.md`` and ``sqnr.png`` too.
        work: Folder that keeps the state of training; an interrupted run goes on from there.
        progress: Called with (what is being done, done, total).

    Returns:
        The model's card.

    Raises:
        BudgetError: If the model's arena exceeds the recipe's.
        ConfigError: If the labels are not one name for each class of the network, the recipe's
            supernet is none of the network and the data, another process trains in ``work``, or
            something cannot be written.
        DataError: If the data set does not suit the network.
        DivergedError: If training reaches a loss that is no number.
    """
    out = checked_path("out", out)
    work = checked_path("work", work)
    network = recipe.network
    labels = class_names(data.labels, network.num_classes)
    _check_arena(recipe, _arena_before_training(recipe, data))
    if recipe.supernet is not None:
        untrained_subnet(recipe, data)  # refused before the teacher has taken its hours
    teacher = train_teacher(recipe, data, work / "teachers", progress)
    train = _train_cnn if isinstance(network, DepthwiseCnn) else _train_transformer
    with locked(work / recipe.name):
        trained = train(recipe, data, labels, teacher, work / recipe.name, progress)
    model = trained.model
    figures: dict[str, Any] = sizes(network, model)
    _check_arena(recipe, figures["arena_bytes"])
    folder = out / recipe.name
    save_halves(trained.float_model, folder / FLOAT_FILE, epochs=trained.float_epochs)
    if recipe.like is None:
        figures |= _zoo_figures(recipe, data, teacher, model, progress)
    else:
        figures |= {
            "like": recipe.like.name,
            "arena_bytes_host": host_arena_bytes(network, model),
        }
    card = ModelCard(
        name=recipe.name,
        sha256=digest(model),
        data=recipe.data,
        network=describe(network),
        arena_budget=recipe.arena_budget,
        **figures,
        **accuracies(
            # As shipped: weights of 16 bits.
            load_network(network, folder / FLOAT_FILE),
            open_model(network, model),
            data.test_images,
            data.test_classes,
            progress,
        ),
    )
    write_whole(folder / MODEL_FILE, model)
    card.write(folder)
    if recipe.like is None and trained.quantized is not None:
        report = quantization_report(trained.quantized, data.train_images[:SQNR_IMAGES])
        report.draw(folder / SQNR_FILE, f"{recipe.name}: quantization error of each layer")
    return card


def _arena_before_training(recipe: ZooRecipe, data: ImageData) -> int:
    network = recipe.network
    if not isinstance(network, DepthwiseCnn):
        return arena_bytes(network)
    # TFLite's graph is known once it is converted; training changes nothing of its arena.
    few = normalise(data.train_images[:MIN_CALIBRATION_IMAGES])
    untrained = network.convert(network.build(), few)
    return sizes(network, untrained)["arena_bytes"]


def _check_arena(recipe: ZooRecipe, needed: int) -> None:
    budget = recipe.arena_budget
    if needed <= budget:
        return
    where = "" if recipe.like is None else f" of {recipe.like.name}"
    less = (
        "less width"
        if isinstance(recipe.network, DepthwiseCnn)
        else "a smaller embed_dim, fewer num_heads or a larger patch_size"
    )
    raise BudgetError(
        f"{recipe.name} needs an arena of {needed:,} bytes; arena_kib{where} allows {budget:,}. "
        f"Give it {less}."
    )


def _calibration(data: ImageData) -> np.ndarray:
    return normalise(data.train_images[:_CALIBRATION_IMAGES])


def _train_transformer(
    recipe: ZooRecipe,
    data: ImageData,
    labels: tuple[str, ...],
    teacher: tf_keras.Model,
    folder: Path,
    progress: Progress,
) -> _Trained:
    subnet = train_float(recipe, data, teacher, folder, progress)
    quantized = train_quantized(recipe, data, subnet, teacher, folder, progress)
    # Constants lie in the microcontroller's own flash: what arena is left is left free.
    model = convert(quantized, labels, arena_budget=recipe.arena_budget, block_tokens=BLOCK_TOKENS)
    return _Trained(subnet, float_stretch(recipe).epochs, quantized, model)


def _train_cnn(
    recipe: ZooRecipe,
    data: ImageData,
    labels: tuple[str, ...],
    teacher: tf_keras.Model,
    folder: Path,
    progress: Progress,
) -> _Trained:
    assert isinstance(recipe.network, DepthwiseCnn)
    cnn = train_cnn(recipe, data, teacher, folder, progress)
    epochs = float_stretch(recipe).epochs + recipe.quantized_training.epochs
    return _Trained(cnn, epochs, None, recipe.network.convert(cnn, _calibration(data)))


def _zoo_figures(
    recipe: ZooRecipe, data: ImageData, teacher: tf_keras.Model, model: bytes, progress: Progress
) -> dict[str, Any]:
    boards: dict[str, BoardFigures] = {}
    for done, board in enumerate(BOARDS):
        progress("emulate the boards", done, len(BOARDS))
        boards[board] = board_figures(model, board, data)
    progress("emulate the boards", len(BOARDS), len(BOARDS))
    taught = predict(teacher, normalise(data.test_images)).argmax(-1)
    return {
        "recipe": recipe.to_dict(),
        "teacher_top1": float(np.mean(taught == data.test_classes)),
        "boards": boards,
    }
