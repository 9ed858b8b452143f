"""Rows of ``mcuformer bench accuracy`` for the networks that ours are compared with."""

from __future__ import annotations

from mcuformer_tflm import datasets
from mcuformer_tflm.baselines.making import SHIPPED, load_float, shipped_baselines
from mcuformer_tflm.baselines.measurement import accuracies, sizes
from mcuformer_tflm.baselines.recipe import network_of
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.progress import Report
from mcuformer_tflm.zoo.catalogue import MODEL_FILE

_METRICS = {
    "float_top1": ("top1_float", "share"),
    "int8_top1": ("top1_int8", "share"),
    "agreement": ("agreement", "share"),
    "arena_bytes": ("arena_bytes", "bytes"),
    "arena_bytes_host": ("arena_bytes_host", "bytes"),
    "flash_bytes": ("flash_bytes", "bytes"),
    "macs": ("macs", "multiply-accumulates"),
}


def baseline_rows(progress: Report) -> list[Row]:
    """Runs every shipped baseline over its whole test set, from its files alone."""
    rows = []
    for name, card in shipped_baselines().items():
        data = datasets.load(card.data)
        network, model = network_of(dict(card.network)), (SHIPPED / name / MODEL_FILE).read_bytes()

        def report(label: str, done: int, total: int, info: str = "", name: str = name) -> None:
            progress(f"{name}: {label}", done, total, info)

        figures = {
            **accuracies(network, load_float(network, SHIPPED / name), model, data, report),
            **sizes(network, model),
        }
        note = f"{card.data}, {figures['test_images']:,} test images, trained as {card.like}"
        rows += [
            Row("accuracy", f"baseline/{name}", metric, figures[field], unit, note=note)
            for field, (metric, unit) in _METRICS.items()
        ]
    return rows
