"""Rows of ``mcuformer bench accuracy`` for the networks that ours are compared with."""

from __future__ import annotations

from mcuformer_tflm.baselines.catalogue import SHIPPED, shipped_baselines
from mcuformer_tflm.baselines.making import load_float
from mcuformer_tflm.baselines.measurement import accuracies, sizes
from mcuformer_tflm.baselines.recipe import network_of
from mcuformer_tflm.bench.figures import figure_rows, named
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.data import load as datasets
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.zoo.catalogue import MODEL_FILE


def baseline_rows(progress: Report) -> list[Row]:
    """Runs every shipped baseline over its whole test set, from its files alone."""
    rows: list[Row] = []
    for name, card in shipped_baselines().items():
        data = datasets.load(card.data)
        network, model = network_of(dict(card.network)), (SHIPPED / name / MODEL_FILE).read_bytes()

        figures = {
            **accuracies(
                network, load_float(network, SHIPPED / name), model, data, named(progress, name)
            ),
            **sizes(network, model),
        }
        note = f"{card.data}, {figures['test_images']:,} test images, trained as {card.like}"
        rows += figure_rows(f"baseline/{name}", figures, note)
    return rows
