"""The rows that every benchmark writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

from rich import box
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


def row_fields(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Returns rows as JSON has them; fields without a value are left out."""
    return [
        {key: value for key, value in dataclasses.asdict(row).items() if value is not None}
        for row in rows
    ]


def table(rows: Iterable[Row], title: str) -> Table:
    """Returns the rows as a table for the terminal, made for 80 columns.

    A line names a case, the lines below it are its figures; notes are told once, in the caption.
    """
    notes: dict[str, int] = {}
    result = Table(
        title=title, caption_justify="left", caption_style="", box=box.SIMPLE,
        show_edge=False, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column in ("case and metric", "value", "unit", "note"):
        justify: Literal["left", "right"] = "right" if column in ("value", "note") else "left"
        result.add_column(column, justify=justify, overflow="fold")
    told: tuple[str, str | None] | None = None
    for row in rows:
        if told != (row.case, row.core):
            told = (row.case, row.core)
            result.add_row(row.case if row.core is None else f"{row.case}, {row.core}")
        value = f"{row.value:,.4g}" if isinstance(row.value, float) else f"{row.value:,}"
        note = "" if row.note is None else str(notes.setdefault(row.note, 1 + len(notes)))
        result.add_row(f"  {row.metric}", value, row.unit, note)
    result.caption = "\n".join(f"{number}: {note}" for note, number in notes.items())
    return result
