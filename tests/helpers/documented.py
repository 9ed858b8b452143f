"""Figures as the documents tell them, for tests that compare them with what is computed."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def text(document):
    """A document in one line: its sentences are broken anywhere."""
    return " ".join((ROOT / document).read_text(encoding="utf-8").split())


def table(document, *columns):
    """The rows of the table that has these columns, by their first cell: {column: cell}."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    found = {}
    header = None
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else None
        if cells is None:
            header = None
        elif header is None:
            header = cells
        elif set(columns) <= set(header) and not re.fullmatch(r"[:|-]+", line):
            found[cells[0]] = dict(zip(header, cells, strict=True))
    assert found, f"{document} has no table of the columns {columns}"
    return found
