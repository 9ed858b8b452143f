"""The rows that every benchmark writes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        suite: Name of the benchmark's module.
        case: What was measured, such as ``fully_connected/225x192x768``.
        metric: Which figure, such as ``instructions_per_mac``.
        value: Its value.
        unit: Its unit.
        core: The emulated core, where there is one.
        note: What a reader must know beside it.
    """

    suite: str
    case: str
    metric: str
    value: float
    unit: str
    core: str | None = None
    note: str | None = None


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Writes rows as a JSON list; fields without a value are left out."""
    entries = [
        {key: value for key, value in dataclasses.asdict(row).items() if value is not None}
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def table(rows: Iterable[Row], title: str) -> Table:
    """Returns the rows as a table for the terminal."""
    result = Table(title=title)
    for column in ("case", "core", "metric", "value", "unit", "note"):
        result.add_column(
            column, justify="right" if column == "value" else "left", no_wrap=column == "case"
        )
    for row in rows:
        value = f"{row.value:,.4g}" if isinstance(row.value, float) else f"{row.value:,}"
        result.add_row(row.case, row.core or "", row.metric, value, row.unit, row.note or "")
    return result
