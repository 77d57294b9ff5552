"""ECG paper: where each lead lies at 25 mm/s and 10 mm/mV, and the same as SVG.

Twelve leads lie in the standard 3 x 4 with the rhythm lead below; fewer leads run in strips of
10 s. Each trace is drawn about its own median, since the offset of a surface lead has no meaning;
what was not recorded is a gap. One small square is 1 mm: 0.04 s and 0.1 mV (AHA/ACC/HRS 2007,
doi:10.1016/j.jacc.2007.01.024).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.findings import Events
from carna.render.ecg_items import beat_kind
from carna.signal import Signal, runs
from carna.study import Ecg

__all__ = ["BEATS", "MARK_MM", "MM_PER_MV", "MM_PER_S", "Paper", "Trace", "beats_of", "lay", "to_svg"]

MM_PER_S = 25.0
MM_PER_MV = 10.0
STANDARD = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
STRIP_S = 10.0
MOST_STRIPS = 6
# The calibration pulse: 1 mV for 0.2 s, before the first lead of each row.
PULSE_MM = 5.0
LEFT_MM = 12.0
# Beats are marked this far above the highest the rhythm lead reaches, and above the name of the lead.
MARK_MM, NAME_MM = 3.0, 14.0
# Ten seconds fill the page; what is shorter, such as a cart's averaged beat, is drawn to the same scale.
FULL_MM = 270.0
EDGE_MM = 5.0
# A row grows with its traces, from 2 to 6 large squares; beyond, traces are cut off.
LEAST_MM, MOST_MM = 20.0, 60.0
# More points than this a millimetre can't be seen; a bin keeps its lowest and highest.
POINTS_PER_MM = 20.0

# What is marked above the rhythm lead: whole beats, not their waves.
BEATS = frozenset(
    {codes.QRS_COMPLEX, codes.R_WAVE, codes.APC, codes.PVC}
    | {code for name, code in codes.ALL.items() if name.endswith("_BEAT")}
)

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One piece of one lead on the paper.

    Parameters
    ----------
    lead : str
    start_s : float
        Where in the recording it begins.
    x_mm, y_mm : (n,) float
        On the paper, y down; NaN where nothing was recorded.
    left_mm, base_mm, width_mm : float
        Left end, zero line and length of the place it was given.
    rhythm : bool
        Beats are marked above it.
    mark_mm : float
        Where, y down.
    """

    lead: str
    start_s: float
    x_mm: Floats
    y_mm: Floats
    left_mm: float
    base_mm: float
    width_mm: float
    rhythm: bool
    mark_mm: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Paper:
    """The sheet: its size, its traces, the zero lines of its rows, and how much of all there is on it."""

    width_mm: float
    height_mm: float
    traces: tuple[Trace, ...]
    rows_mm: tuple[float, ...]
    shown_s: float
    seconds: float
    shown_leads: int
    leads: int


def lay(ecg: Ecg) -> Paper:
    """Return the traces of an ECG on paper."""
    signal = ecg.signal
    rows = _rows(signal, ecg.kind == "median")
    shown = max(start + length for row in rows for _, start, length in row)
    top, placed, bases = EDGE_MM, [], []
    marked: list[tuple[str, float, float]] = []
    for row in rows:
        pieces = [(*_piece(signal, *place), *place) for place in row]
        # Beats are marked once above several leads of the same stretch.
        alone = len(row) == 1 and row[0][1] not in {start for _, start, _ in marked}
        marked += row if alone else []
        highest = _bounded(max(np.nanmax(y, initial=NAME_MM if alone else 12.5) for _, y, *_ in pieces))
        lowest = _bounded(-min(np.nanmin(y, initial=-5.0) for _, y, *_ in pieces))
        mark = highest + MARK_MM
        base = top + _squares(mark + 1 if alone else highest)
        left = LEFT_MM
        for x, y, lead, start, length in pieces:
            cut = np.clip(y, -lowest, highest)
            width = length * MM_PER_S
            placed.append(Trace(lead, start, left + x, base - cut, left, base, width, alone, base - mark))
            left += width
        bases.append(base)
        top = base + max(_squares(lowest), LEAST_MM - _squares(highest), 5.0)
    width = LEFT_MM + max(t.left_mm + t.width_mm - LEFT_MM for t in placed) + EDGE_MM
    shown_leads = len({t.lead for t in placed})
    return Paper(
        _squares(width),
        top + EDGE_MM,
        tuple(placed),
        tuple(bases),
        shown,
        ecg.seconds,
        shown_leads,
        len(ecg.leads),
    )


def _bounded(mm: float) -> float:
    return float(min(mm, MOST_MM / 2))


def _squares(mm: float) -> float:
    """Return the next whole number of large squares."""
    return float(np.ceil(mm / 5 - 1e-9) * 5)


def _rows(signal: Signal, median: bool) -> list[list[tuple[str, float, float]]]:
    """Return rows of (lead, start s, length s)."""
    names = set(signal.leads)
    if all(lead in names for column in STANDARD for lead in column):
        length = min(signal.seconds, STRIP_S)
        each = length if median else length / len(STANDARD)
        rows = [
            [(column[n], 0.0 if median else k * each, each) for k, column in enumerate(STANDARD)]
            for n in range(3)
        ]
        return rows if median else [*rows, [("II", 0.0, length)]]
    leads = signal.leads[:12]
    strips = max(1, min(MOST_STRIPS // len(leads), int(np.ceil(signal.seconds / STRIP_S))))
    starts = [n * STRIP_S for n in range(strips)]
    return [[(lead, s, min(STRIP_S, signal.seconds - s))] for s in starts for lead in leads]


def _piece(signal: Signal, lead: str, start_s: float, length_s: float) -> tuple[Floats, Floats]:
    """Return x from 0, mm, and y upwards about the lead's median, mm."""
    # The offset of what can be shown at all; a day's recording is not looked through for it.
    whole = np.asarray(signal.lead(lead)[: int(MOST_STRIPS * STRIP_S * signal.rate_hz)], np.float64)
    first = round(start_s * signal.rate_hz)
    values = whole[first : first + round(length_s * signal.rate_hz)]
    recorded = whole[np.isfinite(whole)]
    centre = float(np.median(recorded)) if recorded.size else 0.0
    x = np.arange(values.size) / signal.rate_hz * MM_PER_S
    return _thinned(x, (values - centre) * MM_PER_MV, signal.rate_hz / MM_PER_S)


def _thinned(x: Floats, y: Floats, points_per_mm: float) -> tuple[Floats, Floats]:
    """Return the lowest and the highest of each bin, in order, so that no spike is lost."""
    size = int(2 * points_per_mm / POINTS_PER_MM)
    if size <= 2:
        return x, y
    bins = y.size // size
    blocks = y[: bins * size].reshape(bins, size)
    filled: npt.NDArray[np.bool_] = np.asarray(np.isfinite(blocks).all(axis=1))
    safe = np.where(np.isfinite(blocks), blocks, 0.0)
    order = np.sort(np.stack([safe.argmin(1), safe.argmax(1)], 1), axis=1)
    rows = np.arange(bins)[:, None]
    kept = np.where(filled[:, None], blocks[rows, order], np.nan)
    return x[(rows * size + order).ravel()], kept.ravel()


def beats_of(events: Iterable[Events], part: str) -> tuple[tuple[Concept, Floats], ...]:
    """Return (type, times s) of every type of beat seen in a part; one with an extent lies in its middle."""
    found: dict[Concept, list[float]] = {}
    for item in events:
        # The waves of a median beat have a clock of their own.
        if part not in {e.part for e in item.evidence} or item.id.startswith("median."):
            continue
        middle = item.onset_s if item.offset_s is None else (item.onset_s + item.offset_s) / 2
        for time, index in zip(middle, item.type_index, strict=True):
            if item.types[index] in BEATS:
                found.setdefault(item.types[index], []).append(float(time))
    return tuple((code, np.array(times)) for code, times in found.items())


def to_svg(
    paper: Paper, beats: tuple[tuple[Concept, Floats], ...], *, title: str, footer: str, id: str
) -> str:
    """Return the paper as an SVG element whose unit is 1 mm; texts are escaped.

    Parameters
    ----------
    title : str
        Read by screen readers.
    footer : str
        Printed below: speed and gain.
    id : str
        Makes the ids of the grid patterns unique within one page.
    """
    from markupsafe import escape

    w, h = paper.width_mm, paper.height_mm
    out = [
        f'<svg class="ecg" style="max-width:{100 * min(1.0, w / FULL_MM):.1f}%" viewBox="0 0 {w:g} {h:g}" '
        f'role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><defs>'
        f'<pattern id="{id}-s" width="1" height="1" patternUnits="userSpaceOnUse">'
        f'<path d="M0 0H1M0 0V1" class="minor"/></pattern>'
        f'<pattern id="{id}-l" width="5" height="5" patternUnits="userSpaceOnUse">'
        f'<rect width="5" height="5" fill="url(#{id}-s)"/><path d="M0 0H5M0 0V5" class="major"/>'
        f"</pattern></defs>"
        f'<rect class="sheet" width="{w:g}" height="{h:g}"/>'
        f'<rect width="{w:g}" height="{h:g}" fill="url(#{id}-l)"/>'
    ]
    for base in paper.rows_mm:
        out.append(f'<path class="pulse" d="M3 {base:g}h2v-{MM_PER_MV:g}h{PULSE_MM:g}v{MM_PER_MV:g}h2"/>')
    for trace in paper.traces:
        if trace.left_mm > LEFT_MM:
            out.append(f'<path class="pulse" d="M{trace.left_mm:g} {trace.base_mm - 2:g}v4"/>')
        out.append(f'<path class="trace" transform="scale(.01)" d="{_path(trace)}"/>')
        out.append(
            f'<text class="lead" x="{trace.left_mm + 1:g}" y="{trace.base_mm - 11:g}">'
            f"{escape(trace.lead)}</text>"
        )
        if trace.rhythm:
            out += _marks(trace, beats)
    out.append(
        f'<text class="foot" x="{w - 3:g}" y="{h - 2:g}" text-anchor="end">{escape(footer)}</text></svg>'
    )
    return "".join(out)


def _path(trace: Trace) -> str:
    """Return SVG path data in hundredths of a millimetre: each run from its start, in steps."""
    x, y = np.round(trace.x_mm * 100).astype(int), np.round(np.nan_to_num(trace.y_mm) * 100).astype(int)
    out = []
    for start, stop in runs(np.isfinite(trace.y_mm)):
        steps = np.stack([np.diff(x[start:stop]), np.diff(y[start:stop])], 1)
        line = "l" + " ".join(f"{dx} {dy}" for dx, dy in steps.tolist()) if len(steps) else "h10"
        out.append(f"M{x[start]} {y[start]}{line}")
    return "".join(out)


def _marks(trace: Trace, beats: tuple[tuple[Concept, Floats], ...]) -> list[str]:
    return [
        f'<path class="beat {beat_kind(what)}" d="M{x:.2f} {trace.mark_mm + 1:g}l-1 -2h2z"/>'
        for what, times in beats
        for x in on_trace(trace, times)
    ]


def on_trace(trace: Trace, times_s: Floats) -> Floats:
    """Return the x of the times that lie on a trace, mm."""
    inside = times_s[(times_s >= trace.start_s) & (times_s < trace.start_s + trace.width_mm / MM_PER_S)]
    return np.asarray(trace.left_mm + (inside - trace.start_s) * MM_PER_S)
