"""What all figures share: colours, fonts, a blank sheet, quiet axes, the squares of ECG paper."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from carna.render.words import Language, Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, RULE = "#1c2733", "#5b6875", "#d9dee4"
LINE, DIASTOLE, SYSTOLE = "#1f5fa8", "#0b7a75", "#c2571a"
OUTLINES = ("#ffd23f", "#4cc9f0", "#f472b6", "#80ed99")
SHEET, MINOR, MAJOR = "#fffdfb", "#f8dcdc", "#eeb0b3"
CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "SimHei",
    "PingFang SC",
)
DPI = 160
# Beats and rhythms: the same colour wherever they are drawn.
VENTRICULAR, SUPRAVENTRICULAR, FIBRILLATION, TRACE = "#c0262d", "#1f5fa8", "#7a5cc0", "#101418"
BEATS = MappingProxyType(
    {"normal": QUIET, "other": QUIET, "ventricular": VENTRICULAR, "supraventricular": SUPRAVENTRICULAR}
)


@cache
def family(language: Language) -> tuple[str, ...]:
    """Return the fonts for a language, empty if none is installed."""
    from matplotlib import font_manager

    latin = "DejaVu Sans"
    if language == "en":
        return (latin,)
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next(((latin, name) for name in CHINESE if name in installed), ())


def blank(width_in: float, height_in: float, face: str = "#ffffff") -> Figure:
    """Return an empty figure, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=face)


def font(in_words: Words, size: float, **more: Any) -> dict[str, Any]:
    """Return the font of a text, points, for matplotlib."""
    return {"fontfamily": list(family(in_words.language)), "fontsize": size, **more}


def quiet(axes: Any) -> None:
    """Take from axes what is not needed to read them."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
        axes.spines[side].set_linewidth(0.7)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=7.5, width=0.7, length=3, labelfontfamily=family("en")[0])


def plot(in_words: Words, x_label: str, y_label: str) -> tuple[Figure, Any]:
    """Return a wide figure and its axes: the name of y above, of x below."""
    figure = blank(6.4, 2.5)
    axes = figure.add_axes((0.085, 0.2, 0.895, 0.62))
    quiet(axes)
    axes.set_xlabel(x_label, color=INK, **font(in_words, 8))
    axes.text(0, 1.16, y_label, transform=axes.transAxes, color=INK, **font(in_words, 8))
    return figure, axes


def with_unit(text: str, unit: str, in_words: Words) -> str:
    """Return the name of a quantity with its unit."""
    shown = in_words.unit(unit)
    return f"{text} [{shown}]" if shown else text


def squares(axes: Any, width_mm: float, height_mm: float) -> None:
    """Fill axes in millimetres, y down, with the small and large squares of ECG paper."""
    from matplotlib.collections import LineCollection

    axes.set_xlim(0, width_mm)
    axes.set_ylim(height_mm, 0)
    axes.set_axis_off()
    for step, colour, width in ((1.0, MINOR, 0.3), (5.0, MAJOR, 0.5)):
        xs, ys = np.arange(0, width_mm + 0.1, step), np.arange(0, height_mm + 0.1, step)
        lines = [((x, 0), (x, height_mm)) for x in xs] + [((0, y), (width_mm, y)) for y in ys]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width), autolim=False)
