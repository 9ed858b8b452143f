"""A run's folder as one page of HTML that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
from mcuformer_tflm.task.page.figures import (
    confusion_drawing,
    model_drawings,
    search_drawings,
    training_drawings,
)
from mcuformer_tflm.task.page.record import RECORD_FILE, RunRecord
from mcuformer_tflm.task.report import MODEL_FILE, REPORT_FILE, Report

PAGE_FILE = "report.html"
_MOST_CONFUSIONS = 8


def write_page(folder: AnyPath) -> Path:
    """Writes ``report.html`` into a run's folder, of what it holds.

    Args:
        folder: Holds ``report.json``, and of ``record.json`` and ``model.tflite`` what there is;
            what a run has not is left out of its page.

    Returns:
        The page's path.

    Raises:
        ConfigError: If there is no report, a file is none of a run, or it cannot be written.
        ModelError: If the model is damaged.
    """
    folder = checked_path("folder", folder)
    if not (folder / REPORT_FILE).is_file():
        raise ConfigError(
            f"{folder} holds no {REPORT_FILE}; give a folder in which mcuformer search, demo or "
            "convert has ended, or a task."
        )
    report = Report.read(folder / REPORT_FILE)
    record = RunRecord()
    if (folder / RECORD_FILE).exists():
        record = RunRecord.read(folder / RECORD_FILE)
    plan = None
    if (folder / MODEL_FILE).exists():
        plan = read_plan(read_our_graph(folder / MODEL_FILE))
    write_whole(folder / PAGE_FILE, page(report, record, plan))
    return folder / PAGE_FILE


def page(report: Report, record: RunRecord, plan: MemoryPlan | None = None) -> str:
    """Returns the page.

    Args:
        report: The run's figures.
        record: What it kept beside them.
        plan: Of its model.
    """
    import jinja2
    import markupsafe

    def told(value: Any) -> Any:
        # Jinja escapes what ends an element; this, what turns writing's direction.
        plain = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
        return allowed(value, "terminal") if plain else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mcuformer_tflm.task.page", "."),
        autoescape=True,
        finalize=told,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = markupsafe.Markup
    confusion = confusion_drawing(record)
    return environment.get_template("report.html.jinja").render(
        report=report,
        record=record,
        shares=_shares(report),
        confusions=_confusions(record),
        groups=[
            ("Search", list(search_drawings(record))),
            ("Training", list(training_drawings(record))),
            ("Model", list(model_drawings(record, plan, report.sram_budget_bytes))),
            ("Mistakes", [confusion] if confusion else []),
        ],
    )


def _shares(report: Report) -> list[tuple[str, str, str, float]]:
    """Returns what is limited: its name, what it takes, of what, and the share of that."""
    rows: list[tuple[str, float, float | None, str]] = [
        ("arena in TFLM, Cortex-M (computed)", report.arena_bytes, report.sram_budget_bytes, "B"),
        ("flash (.tflite)", report.flash_bytes, report.flash_budget_bytes, "B"),
    ]
    if report.milliseconds_estimated is not None:
        rows.append(
            ("time of an inference (estimate)", round(report.milliseconds_estimated, 1),
             report.milliseconds_budget, "ms")
        )  # fmt: skip
    return [
        (name, f"{used:,} {unit}", f"of {limit:,} {unit}" if limit else "no limit",
         used / limit if limit else 0.0)
        for name, used, limit, unit in rows
    ]  # fmt: skip


def _confusions(record: RunRecord) -> list[tuple[int, str, str]]:
    """Returns the commonest mistakes: how many images, their class, and what was said."""
    found = [
        (count, record.labels[row], record.labels[column])
        for row, counts in enumerate(record.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    return sorted(found, key=lambda one: -one[0])[:_MOST_CONFUSIONS]
