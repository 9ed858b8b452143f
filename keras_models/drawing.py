"""Pictures of matplotlib, in files and inside pages."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 130
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(?<=#)[\w-]+(?=\)?$)")
_BLACK = re.compile(r"(?<=fill: )#000000|(?<=stroke: )#000000")
_FONT = re.compile(r"font: [^;]*?([\d.]+px)[^;]*")


def save_picture(figure: Figure, path: AnyPath) -> None:
    """Writes a figure in the format that the name's ending tells, whole or not at all.

    Names in it may be anybody's: ``$`` begins no formula. Those of ticks, which matplotlib makes
    while it draws, have passed ``allowed`` before.

    Raises:
        ConfigError: If there is no such format, or it cannot be written.
    """
    import matplotlib

    path = checked_path("path", path)
    kind = path.suffix[1:].lower()
    formats = figure.canvas.get_supported_filetypes()
    if kind not in formats:
        raise ConfigError(
            f"path is {path}; a picture's name ends in one of .{', .'.join(formats)}."
        )
    _allow_texts(figure)
    with matplotlib.rc_context({"text.parse_math": False}), whole_file(path) as file:
        figure.savefig(file, format=kind, dpi=_DOTS_PER_INCH)


def inline_svg(figure: Figure, name: str) -> str:
    """Returns a figure as an ``<svg>`` element that takes its colours and font from its page.

    What is black becomes ``currentColor``, text stays text, and nothing is painted behind it, so
    that a page may be light or dark. Names are safe in it, as for ``save_picture``.

    Args:
        figure: Is changed: frames of legends and backgrounds go.
        name: Of the figure within its page: ids begin with it.
    """
    import matplotlib
    from matplotlib.legend import Legend

    _allow_texts(figure)
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)
    for background in (figure.patch, *(axes.patch for axes in figure.axes)):
        background.set_visible(False)
    written = io.BytesIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}
    ):
        figure.savefig(written, format="svg", metadata={"Date": None})
    # What matplotlib has just written; no entity is declared in it.
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314
    _make_part_of_page(root, name)
    return ElementTree.tostring(root, encoding="unicode")


def _allow_texts(figure: Figure) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(allowed(line, "picture") for line in text.get_text().split("\n")))


def _make_part_of_page(root: ElementTree.Element, name: str) -> None:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in list(root.iter()):
        # A style sheet inside would be the whole page's.
        if element.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
            parents[element].remove(element)
    used = {
        found[0]
        for element in root.iter()
        for value in element.attrib.values()
        if (found := _REFERENCE.search(value)) and value.startswith(("#", "url(#"))
    }
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                del element.attrib[key]
                if value in used:
                    element.set("id", f"{name}-{value}")
            elif key == "style":
                value = _BLACK.sub("currentColor", value)
                element.set(key, _FONT.sub(r"font-size: \1", value))
            elif value.startswith(("#", "url(#")):
                element.set(key, value.replace("#", f"#{name}-", 1))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
