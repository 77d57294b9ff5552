"""Full disclosure: every second of a long recording, one minute a row, one hour a page.

A page is a raster: each column of pixels is filled from the lowest to the highest sample that falls into it,
so no spike is lost. Ventricular beats are red, supraventricular ones blue, fibrillation lies on violet, and
what was not recorded or not analysable on grey. Each hour has one gain, from its own R waves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.findings import Findings
from carna.render import ink
from carna.render.ecg_items import beats_in, spans
from carna.render.words import Words
from carna.study import Ecg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PAGE_S", "clock", "draw_page", "pages", "pick_lead", "raster"]

ROW_S, PAGE_S = 60.0, 3600.0
COLUMNS, PITCH = 1800, 22
LEFT, RIGHT, TOP, BOTTOM = 90, 70, 60, 30
# An R wave of the usual height fills this part of the distance between two rows.
FULL = 0.85
BEAT_S = (-0.15, 0.30)
FIBRILLATING = (codes.ATRIAL_FIBRILLATION, codes.ATRIAL_FLUTTER)

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


def pages(ecg: Ecg) -> int:
    """Return how many pages a recording fills: one an hour."""
    return max(1, int(np.ceil(ecg.seconds / PAGE_S - 1e-6)))


def pick_lead(ecg: Ecg) -> str:
    """Return the lead that is shown where only one can be."""
    return next((lead for lead in ("MLII", "II", "V5", "V1") if lead in ecg.leads), ecg.leads[0])


def clock(ecg: Ecg, study_time: str, second: float) -> str:
    """Return the time of day of a second of the recording, or where none is known the time since it began."""
    begin = ecg.origin.time or study_time
    whole = int(second)
    if len(begin) >= 19 and begin[10] == "T":
        hours, minutes, seconds = (int(begin[n : n + 2]) for n in (11, 14, 17))
        whole += 3600 * hours + 60 * minutes + seconds
        return f"{whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"+{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def raster(
    values: npt.NDArray[np.floating], rate_hz: float, colour: Pixels, ground: Pixels
) -> tuple[Pixels, float]:
    """Return the picture of one page.

    Parameters
    ----------
    values : (n,) float
        Millivolts, NaN where nothing was recorded; at most an hour.
    rate_hz : float
    colour, ground : (rows * COLUMNS, 3) uint8
        Of the trace and of what lies behind it, for each column of each row, in time.

    Returns
    -------
    picture : (height, COLUMNS, 3) uint8
    px_per_mv : float
    """
    rows = len(colour) // COLUMNS
    edges = np.round(np.arange(rows * COLUMNS + 1) * ROW_S / COLUMNS * rate_hz).astype(np.int64)
    padded = np.full(edges[-1] + 1, np.nan, np.float32)
    centred = values - np.nanmedian(values) if np.isfinite(values).any() else values
    padded[: len(values)] = centred[: len(padded)]
    # Each column takes the first sample of the next, so that the trace has no holes.
    starts = edges[:-1]
    high = np.fmax(np.fmax.reduceat(padded, starts), padded[edges[1:]])
    low = np.fmin(np.fmin.reduceat(padded, starts), padded[edges[1:]])
    finite = np.isfinite(high)
    second = max(1, round(COLUMNS / ROW_S))
    peaks = np.abs(np.where(finite, high, 0)).reshape(-1, second).max(1)
    usual = float(np.median(peaks[peaks > 0])) if (peaks > 0).any() else 1.0
    gain = FULL * PITCH / max(usual, 0.1)
    # One row of space above the first and below the last, into which their waves may reach.
    height = (rows + 2) * PITCH
    picture = np.full((height, COLUMNS, 3), 255, np.uint8)
    picture[PITCH : (rows + 1) * PITCH] = ground.reshape(rows, COLUMNS, 3).repeat(PITCH, axis=0)
    base = ((np.arange(rows) + 1.75) * PITCH).repeat(COLUMNS)
    column = np.tile(np.arange(COLUMNS), rows)
    reach = 1.4 * PITCH
    top = np.round(base - np.clip(np.where(finite, high, 0) * gain, -reach, reach)).astype(np.int64)
    bottom = np.round(base - np.clip(np.where(finite, low, 0) * gain, -reach, reach)).astype(np.int64)
    length = np.where(finite, bottom - top, -1)
    for step in range(int(length.max(initial=-1)) + 1):
        here = np.flatnonzero(length >= step)
        y = np.clip(top[here] + step, 0, height - 1)
        picture[y, column[here]] = colour[here]
    return picture, gain


def _columns(start_s: float, stop_s: float, begin_s: float, count: int) -> slice:
    per_s = COLUMNS / ROW_S
    first, last = (int(np.clip(round((s - begin_s) * per_s), 0, count)) for s in (start_s, stop_s))
    return slice(first, last)


def draw_page(ecg: Ecg, one: Findings, page: int, study_time: str, in_words: Words) -> Figure:
    """Return one page of the full disclosure, the first being 0."""
    lead = pick_lead(ecg)
    begin = page * PAGE_S
    stop = min(begin + PAGE_S, ecg.seconds)
    rows = max(1, int(np.ceil((stop - begin) / ROW_S - 1e-6)))
    count = rows * COLUMNS
    ground = np.full((count, 3), 255, np.uint8)
    ground[_columns(stop, begin + rows * ROW_S, begin, count)] = 244
    for what, start, end in spans(one, "episodes"):
        if what in FIBRILLATING:
            ground[_columns(start, end, begin, count)] = _rgb("#eee8fa")
    for _, start, end in spans(one, "unanalysable"):
        ground[_columns(start, end, begin, count)] = 236
    colour = np.full((count, 3), _rgb(ink.TRACE), np.uint8)
    times, kinds = beats_in((one,), ecg.origin.uid)
    for kind, shade in (("ventricular", ink.VENTRICULAR), ("supraventricular", ink.SUPRAVENTRICULAR)):
        for t in times[(kinds == kind) & (times >= begin) & (times < stop)]:
            colour[_columns(float(t) + BEAT_S[0], float(t) + BEAT_S[1], begin, count)] = _rgb(shade)
    first = round(begin * ecg.rate_hz)
    values = np.asarray(ecg.signal.lead(lead)[first : round(stop * ecg.rate_hz)])
    picture, gain = raster(values, ecg.rate_hz, colour, ground)
    return _framed(
        picture, gain, rows, lead, [clock(ecg, study_time, begin + n * ROW_S) for n in range(rows)], in_words
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _framed(picture: Pixels, gain: float, rows: int, lead: str, times: list[str], in_words: Words) -> Figure:
    """Return the raster with the time of each row, seconds along the top and 1 mV at the side."""
    width, height = LEFT + COLUMNS + RIGHT, TOP + len(picture) + BOTTOM
    figure = ink.blank(width / ink.DPI, height / ink.DPI)
    axes = figure.add_axes(
        (LEFT / width, BOTTOM / height, COLUMNS / width, len(picture) / height),
        xlim=(0, COLUMNS),
        ylim=(len(picture), 0),
    )
    axes.set_axis_off()
    # Pixel for pixel: nothing is resampled.
    figure.figimage(picture, LEFT, BOTTOM, origin="upper")
    style: dict[str, Any] = {"color": ink.QUIET, "clip_on": False}
    for n, time in enumerate(times):
        axes.text(-8, (n + 1.75) * PITCH, time, ha="right", va="center", **style, **ink.font(in_words, 5.5))
    for s in range(0, int(ROW_S) + 1, 10):
        x = s * COLUMNS / ROW_S
        axes.plot([x, x], [-8, -2], color=ink.QUIET, linewidth=0.6, clip_on=False)
        axes.text(x, -12, f"{s} s", ha="center", va="bottom", **style, **ink.font(in_words, 5.5))
    x, y = COLUMNS + 16, 1.75 * PITCH
    axes.plot([x, x], [y, y - gain], color=ink.INK, linewidth=1.0, clip_on=False)
    axes.text(x + 6, y - gain / 2, "1 mV", va="center", **style, **ink.font(in_words, 5.5))
    title = in_words.text("disclosure_title").format(lead=lead, minutes=ROW_S / 60)
    axes.text(0, -38, title, color=ink.INK, clip_on=False, **ink.font(in_words, 8, fontweight="bold"))
    x = COLUMNS * 0.42
    for key, colour in (("ventricular", ink.VENTRICULAR), ("supraventricular", ink.SUPRAVENTRICULAR)):
        axes.text(x, -38, in_words.text(key), color=colour, clip_on=False, **ink.font(in_words, 7))
        x += COLUMNS * 0.16
    figure.text(
        1 - 10 / width,
        6 / height,
        f"{rows * ROW_S / 60:g} min",
        ha="right",
        color=ink.QUIET,
        **ink.font(in_words, 6),
    )
    return figure
