"""A profile as a picture."""

from __future__ import annotations

from mcuformer_tflm.firmware.profile.comparison import Profile
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.drawing import save_picture
from mcuformer_tflm.keras_models.foreign_text import allowed

_ESTIMATED, _MEASURED = "#b8b8b8", "#4c78a8"
_BAR = 0.4


def draw_profile(profile: Profile, path: AnyPath, *, title: str = "") -> None:
    """Draws two bars an operator, cycles estimated and measured, with their ratio beside them.

    Args:
        profile: What to draw.
        path: Where to, ``.png`` or ``.svg``.
        title: Above the picture.
    """
    path = checked_path("path", path)
    from matplotlib.figure import Figure

    rows = profile.operators
    figure = Figure(figsize=(9, 1.6 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    axes.barh(
        [place - _BAR / 2 for place in places], [row.cycles_estimated for row in rows], _BAR,
        color=_ESTIMATED, label="estimated",
    )  # fmt: skip
    measured = axes.barh(
        [place + _BAR / 2 for place in places], [row.cycles for row in rows], _BAR,
        color=_MEASURED, label=f"measured, counted by {profile.counter}",
    )  # fmt: skip
    axes.bar_label(measured, [f"{row.ratio:.2f}" for row in rows], padding=3, fontsize=8)
    names = [
        f"{allowed(row.name, 'picture')}{' (external flash)' if row.external_bytes else ''}"
        for row in rows
    ]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.08)
    axes.set(
        xlabel="cycles of one inference; beside the bars, measured to estimated",
        title=": ".join(filter(None, (title, f"{profile.board}, {profile.total.cycles:,.0f} "
                                             f"cycles, {profile.total.ratio:.2f} to estimate"))),
    )  # fmt: skip
    axes.legend(fontsize=8)
    save_picture(figure, path)
