"""Accuracy of the shipped models, float and int8, from their files alone."""

from __future__ import annotations

from mcuformer_tflm import datasets
from mcuformer_tflm.bench.baselines import baseline_rows
from mcuformer_tflm.bench.referee import referee_rows
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.progress import Report
from mcuformer_tflm.zoo.catalogue import float_model, model_card, model_names, model_path
from mcuformer_tflm.zoo.measurement import accuracies, sizes

_UNITS = {
    "float_top1": ("top1_float", "share"),
    "int8_top1": ("top1_int8", "share"),
    "agreement": ("agreement", "share"),
    "arena_bytes": ("arena_bytes", "bytes"),
    "flash_bytes": ("flash_bytes", "bytes"),
    "macs": ("macs", "multiply-accumulates"),
}


def run(progress: Report) -> list[Row]:
    """Runs every model of the zoo and every baseline over its test set; asks the referee."""
    zoo = [row for name in model_names() for row in _zoo_rows(name, progress)]
    return [*zoo, *baseline_rows(progress), *referee_rows(progress)]


def _zoo_rows(name: str, progress: Report) -> list[Row]:
    card, model = model_card(name), model_path(name).read_bytes()
    data = datasets.load(card.data)

    def report(label: str, done: int, total: int, info: str = "") -> None:
        progress(f"{name}: {label}", done, total, info)

    figures = {**accuracies(float_model(name), model, data, report), **sizes(model)}
    note = f"{card.data}, {figures['test_images']:,} test images"
    return [
        Row("accuracy", f"zoo/{name}", metric, figures[field], unit, note=note)
        for field, (metric, unit) in _UNITS.items()
    ]
