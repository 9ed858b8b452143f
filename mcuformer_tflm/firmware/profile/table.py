"""A profile for a terminal."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.table import Table

from mcuformer_tflm.firmware.profile.comparison import OperatorProfile, Profile


def profile_table(profile: Profile) -> Table:
    """Returns a row an operator and a row of totals, made for 80 columns."""
    legend = "each: measured cycles an instruction; ratio: measured to estimated"
    if profile.total.external_bytes:
        legend += "; *: reads external flash"
    table = Table(
        title="Cycles of one inference", caption=legend, box=box.SIMPLE, show_edge=False,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column in ("operator", "instructions", "estimated", "measured", "each", "ratio"):
        justify: Literal["left", "right"] = "left" if column == "operator" else "right"
        table.add_column(column, justify=justify, overflow="fold")
    for row in profile.operators:
        table.add_row(f"{row.name}{' *' if row.external_bytes else ''}", *_figures(row))
    table.add_section()
    table.add_row("total", *_figures(profile.total))
    return table


def _figures(row: OperatorProfile) -> tuple[str, ...]:
    return (
        f"{row.instructions:,}",
        f"{row.cycles_estimated:,.0f}",
        f"{row.cycles:,.0f}",
        f"{row.cycles_per_instruction:.3f}",
        f"{row.ratio:.2f}",
    )
