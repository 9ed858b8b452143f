"""Rows of ``mcuformer bench accuracy`` about one model."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.search.progress import Report

_METRICS = {
    "float_top1": ("top1_float", "share"),
    "int8_top1": ("top1_int8", "share"),
    "agreement": ("agreement", "share"),
    "arena_bytes": ("arena_bytes", "bytes"),
    "arena_bytes_host": ("arena_bytes_host", "bytes"),
    "flash_bytes": ("flash_bytes", "bytes"),
    "macs": ("macs", "multiply-accumulates"),
}


def figure_rows(case: str, figures: Mapping[str, float], note: str) -> list[Row]:
    """Returns a row for each figure that was measured."""
    return [
        Row("accuracy", case, metric, figures[field], unit, note=note)
        for field, (metric, unit) in _METRICS.items()
        if field in figures
    ]


def named(progress: Report, name: str) -> Report:
    """Returns a report that puts a model's name before what is being done."""

    def report(label: str, done: int, total: int, info: str = "") -> None:
        progress(f"{name}: {label}", done, total, info)

    return report
