"""Benchmark of the search: the price of a supernet's step."""

from __future__ import annotations

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.bench.supernet_step import Report, supernet_step_rows


def run(progress: Report) -> list[Row]:
    """Returns the rows of all parts.

    Args:
        progress: Called with (what is being done, done, total).
    """
    return list(supernet_step_rows(progress))
