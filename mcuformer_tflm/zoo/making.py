"""From a recipe to the files of a model."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from mcuformer_tflm.convert.converter import convert
from mcuformer_tflm.data.image_data import ImageData, normalise
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import BudgetError
from mcuformer_tflm.keras_models.labels import class_names
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.keras_models.training.checkpoint import load_weights, save_halves
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.quantize.report import SQNR_FILE, SQNR_IMAGES, quantization_report
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.zoo.card import ModelCard, digest
from mcuformer_tflm.zoo.catalogue import FLOAT_FILE, MODEL_FILE
from mcuformer_tflm.zoo.measurement import BOARDS, board_figures, sizes
from mcuformer_tflm.zoo.recipe import ZooRecipe
from mcuformer_tflm.zoo.training import train_float, train_quantized, train_teacher


def make_model(
    recipe: ZooRecipe, data: ImageData, out: AnyPath, work: AnyPath, progress: Progress
) -> ModelCard:
    """Trains, quantizes, converts and measures a model, and writes its files.

    Args:
        recipe: What to make.
        data: The recipe's data set.
        out: Folder that gets a folder of the model's name, with ``model.tflite``, ``float.npz``
            (the float weights, 16 bits each), ``card.json``, ``card.md`` and ``sqnr.png``.
        work: Folder that keeps the state of training; an interrupted run goes on from there.
        progress: Called with (what is being done, done, total).

    Returns:
        The model's card.

    Raises:
        BudgetError: If the model's arena exceeds the recipe's.
        ConfigError: If the labels are not one name for each class of the network.
        DataError: If the data set does not suit the network.
        DivergedError: If training reaches a loss that is no number.
    """
    out = checked_path("out", out)
    work = checked_path("work", work)
    labels = class_names(data.labels, recipe.architecture.num_classes)
    budget, needed = recipe.arena_budget, arena_bytes(recipe.architecture)
    if needed > budget:
        raise BudgetError(
            f"{recipe.name} needs an arena of {needed:,} bytes; arena_kib allows {budget:,}. Give "
            "it a smaller embed_dim, fewer num_heads or a larger patch_size."
        )
    teacher = train_teacher(recipe, data, work / "teachers", progress)
    subnet = train_float(recipe, data, teacher, work / recipe.name, progress)
    folder = out / recipe.name
    save_halves(subnet, folder / FLOAT_FILE, epochs=recipe.float_training.epochs)
    quantized = train_quantized(recipe, data, subnet, teacher, work / recipe.name, progress)
    model = convert(quantized, labels, arena_budget=budget)
    # As shipped: weights of 16 bits.
    shipped = build_subnet(recipe.architecture)
    load_weights(shipped, folder / FLOAT_FILE)
    boards = {}
    for done, board in enumerate(BOARDS):
        progress("emulate the boards", done, len(BOARDS))
        boards[board] = board_figures(model, board, data)
    progress("emulate the boards", len(BOARDS), len(BOARDS))
    taught = predict(teacher, normalise(data.test_images)).argmax(-1)
    card = ModelCard(
        name=recipe.name,
        sha256=digest(model),
        data=recipe.data,
        recipe=json.loads(json.dumps(dataclasses.asdict(recipe))),
        architecture=recipe.architecture.to_json(),
        teacher_top1=float(np.mean(taught == data.test_classes)),
        arena_budget=budget,
        boards=boards,
        **sizes(model),
        **accuracies(
            shipped, MicroInterpreter(model), data.test_images, data.test_classes, progress
        ),
    )
    (folder / MODEL_FILE).write_bytes(model)
    card.write(folder)
    report = quantization_report(quantized, data.train_images[:SQNR_IMAGES])
    report.draw(folder / SQNR_FILE, f"{recipe.name}: quantization error of each layer")
    return card
