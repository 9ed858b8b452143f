"""Text of others, names and paths and labels, as it may stand in what this package generates.

A model, a label file or a board's file may be anybody's, and so may be a folder's name. What of
such a text goes into a generated source, script, page, picture or onto a terminal passes
``allowed`` here: in each place only characters stand that end nothing there and start nothing.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

Place = Literal["comment", "identifier", "page", "picture", "terminal"]

_LONGEST = 200
_REPLACED = "_"
# Commands of terminals, changes of writing's direction, halves of characters, what XML lacks.
_CONTROLS = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
# What a place does not allow. Comments: of C++, assembly, CMake, linker scripts and TOML, where
# a line's end, `*/`, a trigraph or a backslash would be read. Pages: Markdown, and in
# it HTML and links.
_FORBIDDEN: dict[Place, re.Pattern[str]] = {
    "comment": re.compile(r"[^\w ./:=,-]", re.ASCII),
    "identifier": re.compile(r"\W+", re.ASCII),
    "page": re.compile(r"[^\w ./:;=,+()%'!?#\[\]-]|\](?=[(:\[])"),
    "picture": re.compile(_CONTROLS),
    "terminal": re.compile(rf"(?![\n\t]){_CONTROLS}"),
}


def allowed(text: str, place: Place) -> str:
    """Returns a text as it may stand in a place; but for terminals, cut off where it is long.

    Args:
        text: Anybody's.
        place: ``comment``: of a source, script or linker script. ``identifier``: a name of C++,
            which starts with no digit. ``page``: a line of Markdown. ``picture``: what is drawn.
            ``terminal``: what is printed, which may have several lines.

    Raises:
        ConfigError: If there is no such place.
    """
    # Here, since it loads numpy, which nobody who asks for help should wait for.
    from mcuformer_tflm.keras_models.checked_values import checked_choice

    checked_choice("place", place, get_args(Place))
    if place != "terminal":
        text = text[:_LONGEST]
    text = _FORBIDDEN[place].sub(_REPLACED, text)
    if place == "identifier":
        text = text.strip(_REPLACED) or "tensor"
        return f"_{text}" if text[0].isdigit() else text
    return text
