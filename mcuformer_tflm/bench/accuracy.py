"""Accuracy of the shipped models, float and int8, from their files alone."""

from __future__ import annotations

from mcuformer_tflm.bench.baselines import baseline_rows
from mcuformer_tflm.bench.figures import figure_rows, named
from mcuformer_tflm.bench.referee import referee_rows
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.data import load as datasets
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import float_model, model_card, model_names, model_path
from mcuformer_tflm.zoo.measurement import sizes


def run(progress: Report) -> list[Row]:
    """Runs every model of the zoo and every baseline over its test set; asks the referee."""
    zoo = [row for name in model_names() for row in _zoo_rows(name, progress)]
    return [*zoo, *baseline_rows(progress), *referee_rows(progress)]


def _zoo_rows(name: str, progress: Report) -> list[Row]:
    card, model = model_card(name), model_path(name).read_bytes()
    data = datasets.load(card.data)

    network, interpreter = float_model(name), MicroInterpreter(model)
    figures = {
        **accuracies(
            network, interpreter, data.test_images, data.test_classes, named(progress, name)
        ),
        **sizes(model),
    }
    note = f"{card.data}, {figures['test_images']:,} test images"
    return figure_rows(f"zoo/{name}", figures, note)
