"""Faults on purpose: each campaign plants some, and counts which were borne as promised.

A campaign is a module of this package with ``run(effort, report) -> CampaignResult``. It may
fork: it computes nothing with TensorFlow in this process, whose threads a fork would lose.
"""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Iterable, Sequence

from mcuformer_tflm.bench.faults.result import EFFORTS, CampaignResult, Effort
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.search.progress import Report

# In this order; all of them, short, take 15 minutes on two cores. Mutations come first: where the
# operators' library is loaded already, its functions take the place of a mutant's.
CAMPAIGNS: tuple[str, ...] = (
    "mutations", "hostile_models", "kills", "disks", "processes", "same_again", "long_runs",
)  # fmt: skip
_SUITE = "faults"
_TOLD = 20


def run(progress: Report, only: Sequence[str] = (), *, effort: Effort = "short") -> list[Row]:
    """Runs campaigns one after another and returns their rows.

    Args:
        progress: Called with (what is being done, done, total).
        only: Names of campaigns; all where there are none.
        effort: ``long`` is what the figures in docs/reliability.md are from, hours in all.

    Returns:
        Of each campaign ``tried``, ``survived``, ``lost``, ``seconds``, and figures of its own. One
        that stops at an error has lost, and the others run.

    Raises:
        ConfigError: If there is no such campaign or effort.
    """
    checked_choice("effort", effort, EFFORTS)
    chosen = [checked_choice("only", name, CAMPAIGNS) for name in only or CAMPAIGNS]
    rows: list[Row] = []
    for name in CAMPAIGNS:
        if name not in chosen:
            continue
        start = time.monotonic()
        try:
            module = importlib.import_module(f"{__name__}.{name}")
            result: CampaignResult = module.run(effort, progress)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"stopped at {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
            result = CampaignResult(1, 0, 1, (told,))
        rows += _rows(name, effort, result, time.monotonic() - start)
    return rows


def lost_campaigns(rows: Iterable[Row]) -> list[str]:
    """Returns the names of the campaigns that lost anything."""
    return [row.case for row in rows if row.metric == "lost" and row.value]


def _rows(name: str, effort: Effort, result: CampaignResult, seconds: float) -> Iterable[Row]:
    more = len(result.details) - _TOLD
    told = [*result.details[:_TOLD], *([f"and {more} more"] if more > 0 else [])]
    figures: dict[str, tuple[float, str]] = {
        "tried": (result.tried, ""), "survived": (result.survived, ""), "lost": (result.lost, ""),
        **result.figures, "seconds": (round(seconds, 1), "s"),
    }  # fmt: skip
    for metric, (value, unit) in figures.items():
        note = "; ".join(told) if metric == "lost" and told else None
        yield Row(_SUITE, name, metric, value, unit, note=note or f"effort {effort}")
