"""Pictures of matplotlib in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 130


def save_picture(figure: Figure, path: AnyPath) -> None:
    """Writes a figure in the format that the name's ending tells, whole or not at all.

    Names in it may be anybody's: ``$`` begins no formula. Those of ticks, which matplotlib makes
    while it draws, have passed ``allowed`` before.

    Raises:
        ConfigError: If there is no such format, or it cannot be written.
    """
    import matplotlib
    from matplotlib.text import Text

    path = checked_path("path", path)
    kind = path.suffix[1:].lower()
    formats = figure.canvas.get_supported_filetypes()
    if kind not in formats:
        raise ConfigError(
            f"path is {path}; a picture's name ends in one of .{', .'.join(formats)}."
        )
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(allowed(line, "picture") for line in text.get_text().split("\n")))
    with matplotlib.rc_context({"text.parse_math": False}), whole_file(path) as file:
        figure.savefig(file, format=kind, dpi=_DOTS_PER_INCH)
