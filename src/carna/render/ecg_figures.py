"""The median beats of twelve leads on ECG paper, and all of them together under calipers.

Beats are drawn at twice the usual size, 50 mm/s and 20 mm/mV, about their level just before QRS; below
them all leads lie over each other, where the earliest onset and the latest end of a wave can be seen, with
brackets for P, PR, QRS and QT. The brackets end at the boundaries that were found; the numbers at them are
those of the findings, and a number that is absent has no bracket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from carna import codes
from carna.codes import Concept
from carna.findings import Findings, Measurement
from carna.render import ink, say
from carna.render.ecg_items import Median, median
from carna.render.paper import STANDARD
from carna.render.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SCALE", "brackets", "draw_median"]

# How much larger than 25 mm/s and 10 mm/mV.
SCALE = 2.0
MM_PER_MS, MM_PER_MV = 0.025 * SCALE, 10.0 * SCALE
EDGE_MM, GAP_MM, STEP_MM = 5.0, 5.0, 5.5
LEVEL_MS = 16.0
MOST_MM = 55.0
WAVES: dict[Concept, str] = {codes.P_WAVE: "#0b7a75", codes.QRS_COMPLEX: "#c2571a", codes.T_WAVE: "#7a5cc0"}
# What a bracket measures: from which boundary to which, 0 the onset and 1 the end.
_SPANS = (
    (codes.P_DURATION, "P", (codes.P_WAVE, 0), (codes.P_WAVE, 1)),
    (codes.PR_INTERVAL, "PR", (codes.P_WAVE, 0), (codes.QRS_COMPLEX, 0)),
    (codes.QRS_DURATION, "QRS", (codes.QRS_COMPLEX, 0), (codes.QRS_COMPLEX, 1)),
    (codes.QT_INTERVAL, "QT", (codes.QRS_COMPLEX, 0), (codes.T_WAVE, 1)),
)


def brackets(findings: Findings, beat: Median) -> tuple[tuple[str, float, float, Measurement], ...]:
    """Return name, begin and end (ms from the alignment point), and number of each interval that has all."""
    whole = {
        i.code: i for i in findings.items if isinstance(i, Measurement) and i.site is None and i.unit == "ms"
    }
    return tuple(
        (name, beat.waves[first][a], beat.waves[last][b], whole[code])
        for code, name, (first, a), (last, b) in _SPANS
        if code in whole and first in beat.waves and last in beat.waves
    )


def draw_median(findings: Findings, in_words: Words) -> Figure:
    """Return the figure of the median beat.

    Parameters
    ----------
    findings : Findings
        With curves ``median.<lead>``.
    in_words : Words
    """
    beat = median(findings)
    assert beat is not None
    rows = _rows(beat)
    level = {lead: _level(beat, mv) for lead, mv in beat.mv.items()}
    shown = {lead: (mv - level[lead]) * MM_PER_MV for lead, mv in beat.mv.items()}
    wide = float(beat.x_ms[-1] - beat.x_ms[0]) * MM_PER_MS
    tall = [_extent([shown[lead] for lead in row]) for row in rows]
    spans = brackets(findings, beat)
    over = _extent(list(shown.values()))
    bars = EDGE_MM + STEP_MM * len(spans)
    columns = max(len(row) for row in rows)
    width = _squares(2 * EDGE_MM + columns * (wide + GAP_MM) - GAP_MM)
    height = _squares(2 * EDGE_MM + sum(up + down for up, down in tall) + bars + sum(over) + EDGE_MM)
    figure = ink.blank(width / 25.4, height / 25.4, ink.SHEET)
    axes = figure.add_axes((0, 0, 1, 1))
    ink.squares(axes, width, height)
    top = EDGE_MM
    for row, (up, down) in zip(rows, tall, strict=True):
        for n, lead in enumerate(row):
            left = EDGE_MM + n * (wide + GAP_MM)
            _boundaries(axes, beat, left, top, top + up + down, MM_PER_MS)
            _trace(axes, beat, shown[lead], left, top + up, MM_PER_MS, lead, in_words)
        top += up + down
    _together(axes, beat, shown, spans, (top, over, wide), in_words)
    per_s, per_mv = 25 * SCALE, 10 * SCALE
    note = in_words.text("median_scale").format(mm_per_s=per_s, mm_per_mv=per_mv, wide=2 * per_s)
    axes.text(width - 3, height - 2, note, color=ink.QUIET, ha="right", **ink.font(in_words, 7))
    return figure


def _rows(beat: Median) -> list[list[str]]:
    if all(lead in beat.mv for column in STANDARD for lead in column):
        return [[column[n] for column in STANDARD] for n in range(3)]
    leads = list(beat.mv)
    return [leads[n : n + 4] for n in range(0, len(leads), 4)]


def _level(beat: Median, mv: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return the level just before QRS, of the whole beat where its onset is not known."""
    if codes.QRS_COMPLEX in beat.waves:
        onset = beat.waves[codes.QRS_COMPLEX][0]
        near = (beat.x_ms >= onset - LEVEL_MS) & (beat.x_ms <= onset)
        if near.any():
            return float(mv[near].mean())
    return float(np.median(mv))


def _extent(curves: list[np.ndarray[Any, np.dtype[np.float64]]]) -> tuple[float, float]:
    """Return how far curves reach up and down, mm, in whole large squares and at least two."""
    up = max(10.0, *(float(y.max()) + 4.0 for y in curves))
    down = max(5.0, *(float(-y.min()) + 1.0 for y in curves))
    return _squares(min(up, MOST_MM)), _squares(min(down, MOST_MM))


def _squares(mm: float) -> float:
    return float(np.ceil(mm / 5 - 1e-9) * 5)


def _trace(
    axes: Any,
    beat: Median,
    y_mm: np.ndarray[Any, np.dtype[np.float64]],
    left: float,
    base: float,
    mm_per_ms: float,
    lead: str,
    in_words: Words,
) -> None:
    x = left + (beat.x_ms - beat.x_ms[0]) * mm_per_ms
    axes.plot(x, base - np.clip(y_mm, -MOST_MM, MOST_MM), color=ink.TRACE, linewidth=1.0)
    style = ink.font(in_words, 9, fontweight="bold")
    axes.text(
        left + 0.8, base - 2.4 - max(float(y_mm[:25].max(initial=0.0)), 0.0), lead, color=ink.INK, **style
    )


def _boundaries(axes: Any, beat: Median, left: float, top: float, bottom: float, mm_per_ms: float) -> None:
    """Draw a thin line at every onset and end."""
    for wave, colour in WAVES.items():
        for ms in dict.fromkeys(beat.waves.get(wave, ())):
            x = left + (ms - beat.x_ms[0]) * mm_per_ms
            axes.plot([x, x], [top + 1, bottom - 1], color=colour, linewidth=0.7, alpha=0.75)


def _together(
    axes: Any,
    beat: Median,
    shown: dict[str, np.ndarray[Any, np.dtype[np.float64]]],
    spans: tuple[tuple[str, float, float, Measurement], ...],
    place: tuple[float, tuple[float, float], float],
    in_words: Words,
) -> None:
    """Draw all leads over each other at 100 mm/s, and the brackets above them."""
    top, (up, down), wide = place
    per_ms, left = 2 * MM_PER_MS, EDGE_MM + GAP_MM
    first = float(beat.x_ms[0])
    bars = EDGE_MM + STEP_MM * len(spans)
    base = top + bars + up
    _boundaries(axes, beat, left, top + EDGE_MM, base + down, per_ms)
    x = left + (beat.x_ms - first) * per_ms
    for y in shown.values():
        axes.plot(x, base - np.clip(y, -MOST_MM, MOST_MM), color=ink.TRACE, linewidth=0.55, alpha=0.8)
    for n, (name, start, stop, number) in enumerate(spans):
        high = top + EDGE_MM + STEP_MM * (n + 0.5)
        a, b = (left + (ms - first) * per_ms for ms in (start, stop))
        axes.plot(
            [a, a, a, b, b, b],
            [high - 1.2, high + 1.2, high, high, high - 1.2, high + 1.2],
            color=ink.INK,
            linewidth=1.1,
        )
        unit = in_words.unit(number.unit)
        value = f"{name} {say.value(number)} {unit}"
        spread = say.uncertainty(number.uncertainty, in_words)
        axes.text(
            left + 2 * wide + 4,
            high + 1.2,
            value,
            color=ink.INK,
            **ink.font(in_words, 9.5, fontweight="bold"),
        )
        axes.text(left + 2 * wide + 38, high + 1.2, spread, color=ink.QUIET, **ink.font(in_words, 7.5))
        axes.text(b + 1.2, high + 1.1, name, color=ink.INK, **ink.font(in_words, 8))
