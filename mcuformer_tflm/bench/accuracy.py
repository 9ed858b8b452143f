"""Accuracy of the shipped models, float and int8, from their files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.figures import figure_rows, named
from mcuformer_tflm.bench.referee import referee_rows
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.runtime.accuracy import accuracies
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import (
    BASELINES,
    SHIPPED,
    float_model,
    model_cards,
    model_path,
)
from mcuformer_tflm.zoo.measurement import host_arena_bytes, open_model, sizes
from mcuformer_tflm.zoo.network import network_of


def run(progress: Report) -> list[Row]:
    """Runs every model of the zoo and every baseline over its test set; asks the referee."""
    zoo, baselines = _rows("zoo", SHIPPED, progress), _rows("baseline", BASELINES, progress)
    return [*zoo, *baselines, *referee_rows(progress)]


def _rows(kind: str, folder: Path, progress: Report) -> Iterator[Row]:
    for name, card in model_cards(folder).items():
        data, model = datasets.load(card.data), model_path(name, folder).read_bytes()
        network = network_of(card.network)
        figures = {
            **accuracies(
                float_model(name, folder),
                open_model(network, model),
                data.test_images,
                data.test_classes,
                named(progress, name),
            ),
            **sizes(network, model),
        }
        note = f"{card.data}, {figures['test_images']:,} test images"
        if card.like is not None:
            figures["arena_bytes_host"] = host_arena_bytes(network, model)
            note += f", trained as {card.like}"
        yield from figure_rows(f"{kind}/{name}", figures, note)
