"""The 17 segments as a bull's-eye: base outside, apex in the middle, the septum on the left.

Segments lie as the American Heart Association draws them (Cerqueira 2002, doi:10.1161/hc0402.102975): seen
from the apex, anterior above. Each has its number and its value; one that could not be measured is hatched
and has none. Dark is much, below zero (circumferential strain, where muscle shortens) as above it. The maps
are even in lightness and readable without colour vision (viridis and cividis; Nunez 2018,
doi:10.1371/journal.pone.0199239).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from carna.findings import Field, Findings
from carna.render import ink
from carna.render.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_bullseyes", "has_bullseyes"]

Floats = npt.NDArray[np.float64]

MOST: Final = 6  # to a figure
_RINGS: Final = ((0.75, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25))
_HATCH: Final = "////"
_SIDE_IN, _HEAD_IN, _BAR_IN = 2.6, 0.42, 0.55


def has_bullseyes(findings: Findings) -> bool:
    """Whether some findings hold values of the 17 segments at one moment."""
    return bool(_fields(findings))


def _fields(findings: Findings) -> tuple[Field, ...]:
    return tuple(
        item
        for item in findings.items
        if isinstance(item, Field) and item.on == "AHA17" and item.values.ndim == 1
    )[:MOST]


def draw_bullseyes(findings: Findings, in_words: Words) -> Figure:
    """Return one bull's-eye for each quantity of the 17 segments, at most `MOST`.

    Parameters
    ----------
    findings : Findings
        With `has_bullseyes`.
    in_words : Words
    """
    fields = _fields(findings)
    columns = len(fields) if len(fields) <= 3 else -(-len(fields) // 2)
    rows = -(-len(fields) // columns)
    cell = _HEAD_IN + _SIDE_IN + _BAR_IN
    width, height = columns * _SIDE_IN + 0.3, rows * cell + 0.05
    figure = ink.blank(width, height)
    for n, field in enumerate(fields):
        row, column = divmod(n, columns)
        left, top = 0.15 + column * _SIDE_IN, height - row * cell
        box = (left / width, (top - _HEAD_IN - _SIDE_IN) / height, _SIDE_IN / width, _SIDE_IN / height)
        axes = figure.add_axes(box)
        scheme = _scheme(field.values)
        _segments(axes, field.values, scheme, in_words)
        title = ink.with_unit(in_words.meaning(field.code), field.unit, in_words)
        figure.text((left + _SIDE_IN / 2) / width, (top - _HEAD_IN / 2) / height, title, ha="center",
                    va="center", color=ink.INK, wrap=True, **ink.font(in_words, 7.5))  # fmt: skip
        bar = figure.add_axes(
            ((left + 0.5) / width, (top - cell + 0.36) / height, (_SIDE_IN - 1.0) / width, 0.1 / height)
        )
        shown = figure.colorbar(scheme, cax=bar, orientation="horizontal")
        shown.outline.set_linewidth(0.3)
        bar.tick_params(labelsize=6.5, colors=ink.QUIET, length=2, labelfontfamily=ink.family("en")[0])
    return figure


def _scheme(values: Floats) -> Any:
    """Return colours for values: dark is far from zero, on a range of round numbers that begins at zero."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    ticks = MaxNLocator(4).tick_values(min(low, 0.0), max(high, 0.0))
    falls = abs(low) > abs(high)
    return ScalarMappable(Normalize(ticks[0], ticks[-1]), "viridis" if falls else "cividis_r")


def _places() -> list[tuple[float, float, float, float]]:
    """Inner and outer radius, first and last angle [degree, counter-clockwise from the right] by segment."""
    six = [(60.0 + 60.0 * n, 120.0 + 60.0 * n) for n in range(6)]
    four = [(45.0 + 90.0 * n, 135.0 + 90.0 * n) for n in range(4)]
    return [
        *((*_RINGS[0], *ends) for ends in six),
        *((*_RINGS[1], *ends) for ends in six),
        *((*_RINGS[2], *ends) for ends in four),
        (*_RINGS[3], 0.0, 360.0),
    ]


def _segments(axes: Any, values: Floats, scheme: Any, in_words: Words) -> None:
    from matplotlib.patches import Wedge

    axes.set_xlim(-1.18, 1.18)
    axes.set_ylim(-1.18, 1.18)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for n, (inner, outer, first, last) in enumerate(_places()):
        value = float(values[n])
        known = bool(np.isfinite(value))
        face = scheme.to_rgba(value) if known else "#ffffff"
        axes.add_patch(
            Wedge((0, 0), outer, first, last, width=outer - inner, facecolor=face, linewidth=0.8,
                  edgecolor="#ffffff" if known else ink.QUIET, hatch="" if known else _HATCH)
        )  # fmt: skip
        middle, r = np.deg2rad((first + last) / 2.0), (inner + outer) / 2.0 if n < 16 else 0.0
        x, y = r * np.cos(middle), r * np.sin(middle)
        dark = known and float(np.dot(face[:3], (0.299, 0.587, 0.114))) < 0.5
        colour = "#ffffff" if dark else ink.INK
        if known:
            axes.text(x, y - 0.035, _short(value), ha="center", va="center", color=colour,
                      **ink.font(in_words, 7.5, fontweight="bold"))  # fmt: skip
        at = y + 0.07 if known else y
        box = {} if known else {"bbox": {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.8}}
        axes.text(x, at, str(n + 1), ha="center", va="center", color=colour if known else ink.QUIET,
                  **box, **ink.font(in_words, 5))  # fmt: skip
    for word, x, y, turn in (
        ("bullseye_anterior", 0.0, 1.09, 0),
        ("bullseye_inferior", 0.0, -1.09, 0),
        ("bullseye_septal", -1.09, 0.0, 90),
        ("bullseye_lateral", 1.09, 0.0, 270),
    ):
        axes.text(x, y, in_words.text(word), ha="center", va="center", rotation=turn, color=ink.QUIET,
                  **ink.font(in_words, 6.5))  # fmt: skip


def _short(value: float) -> str:
    """Return a number in at most three figures: whole from ten on."""
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
