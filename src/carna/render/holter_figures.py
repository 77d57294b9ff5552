"""A long recording at a glance: rate, episodes, ectopy by the hour, intervals; and the strips that matter.

The trend holds the median rate of every minute and, for each hour, the lowest, mean and highest rate as the
findings state them. Below it lie episodes by kind, ectopic beats by the hour, the tachogram, the Poincare
plot (each interval against the next) and the histogram of intervals. Strips are on ECG paper at 25 mm/s and
10 mm/mV.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.codes import Concept
from carna.findings import Findings, Measurement
from carna.render import ink, say
from carna.render.disclosure import FIBRILLATING, clock
from carna.render.ecg_items import Strip, beats_in, hourly, spans, strips
from carna.render.words import Words
from carna.study import Ecg, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_strips", "draw_summary", "minutes", "recording", "sheets"]

Floats = npt.NDArray[np.float64]

_EPISODE_COLOURS = {code: ink.FIBRILLATION for code in FIBRILLATING} | {
    code: ink.VENTRICULAR for code in (codes.VT, codes.VF, codes.PVC, codes.VENTRICULAR_PREMATURE_BEAT)
}
# An interval beyond these is a pause or a missed beat, no point of a cloud.
RR_MS = (250.0, 2200.0)
MM_PER_S, MM_PER_MV, STRIP_LEADS = 25.0, 10.0, 3
EDGE_MM, TITLE_MM = 5.0, 10.0
# Strips on one sheet.
A_SHEET = 4
# Of how many minutes ectopic beats are counted together: the fewest that give no more bars than these.
MANY = 10_000  # intervals whose dots are small
MINUTES, MOST_BARS = (1, 5, 10, 60), 40


def recording(one: Findings, study: Study) -> Ecg | None:
    """Return the long recording whose hours some findings hold, None if they hold no hours."""
    table = hourly(one)
    parts = (study.part(e.part) for c in table.values() for e in c.evidence)
    return next((p for p in parts if isinstance(p, Ecg)), None)


def minutes(times_s: Floats, seconds: float) -> tuple[Floats, Floats]:
    """Return the middle of each minute, s, and its median rate, per minute; NaN below five intervals."""
    rr = np.diff(times_s)
    good = (rr * 1000 >= RR_MS[0]) & (rr * 1000 <= RR_MS[1])
    at, rr = times_s[:-1][good], rr[good]
    count = max(1, int(np.ceil(seconds / 60)))
    edges = np.searchsorted(at, 60.0 * np.arange(count + 1))
    rate = np.array(
        [60.0 / np.median(rr[a:b]) if b - a >= 5 else np.nan for a, b in itertools.pairwise(edges)]
    )
    return 60.0 * (np.arange(count, dtype=np.float64) + 0.5), rate.astype(np.float64)


def draw_summary(one: Findings, study: Study, in_words: Words) -> Figure:
    """Return the summary of a long recording."""
    ecg = recording(one, study)
    assert ecg is not None
    hours = ecg.seconds / 3600
    table = hourly(one)
    times, kinds = beats_in((one,), ecg.origin.uid)
    seen = spans(one, "episodes")
    kinds_seen = tuple(dict.fromkeys(what for what, _, _ in seen))
    tall = 0.34 * max(1, len(kinds_seen))
    heights = (1.9, tall, 1.15, 1.35)
    figure = ink.blank(9.6, sum(heights) + 2.95 + 5 * 0.52)
    height = figure.get_figheight()
    top = height - 0.4
    frames: list[Any] = []
    for size in heights:
        frames.append(figure.add_axes((0.075, (top - size) / height, 0.905, size / height)))
        top -= size + 0.52
    ticks = _hours(hours)
    for axes in frames:
        ink.quiet(axes)
        axes.set_xlim(0, hours)
        axes.set_xticks(ticks, [clock(ecg, study.time, 3600 * h)[:-3] for h in ticks])
    _rates(frames[0], one, ecg, times, table, in_words)
    _episodes(frames[1], seen, kinds_seen, hours, in_words)
    _ectopy(frames[2], table, (times, kinds), hours, in_words)
    _tachogram(frames[3], times, kinds, hours, in_words)
    left, low = 0.075, 0.45 / height
    square = 2.4
    cloud = figure.add_axes((left, low, square / 9.6, square / height))
    bars = figure.add_axes(
        (left + (square + 0.75) / 9.6, low, 0.98 - left - (square + 0.75) / 9.6, square / height)
    )
    _poincare(cloud, times, kinds, in_words)
    _histogram(bars, times, kinds, in_words)
    return figure


def _hours(hours: float) -> Floats:
    step = next((s for s in (0.25, 0.5, 1, 2, 3, 6, 12, 24) if hours / s <= 13), 24.0)
    return np.arange(0, hours + 1e-9, step)


def _middle(x: Floats, hours: float) -> Floats:
    """Return the middle of hours that begin at x; the last may be shorter."""
    return x + np.minimum(1.0, hours - x) / 2


def _name(axes: Any, text: str, in_words: Words) -> None:
    axes.text(0, 1.04, text, transform=axes.transAxes, color=ink.INK, va="bottom", **ink.font(in_words, 8))


def _rates(axes: Any, one: Findings, ecg: Ecg, times: Floats, table: dict[str, Any], in_words: Words) -> None:
    hours = ecg.seconds / 3600
    at, rate = minutes(times, ecg.seconds)
    for _, start, stop in spans(one, "unanalysable"):
        axes.axvspan(start / 3600, stop / 3600, color="#e6e8eb", linewidth=0)
    for what, start, stop in spans(one, "episodes"):
        if what in FIBRILLATING:
            axes.axvspan(start / 3600, stop / 3600, color=ink.FIBRILLATION, alpha=0.14, linewidth=0)
    axes.plot(at / 3600, rate, color=ink.LINE, linewidth=0.7)
    mean, low, high = (table.get(f"rate.{name}") for name in ("mean", "min", "max"))
    if mean is not None:
        axes.plot(_middle(mean.x, hours), mean.y, "o", color=ink.INK, markersize=3.6, zorder=4)
    if low is not None and high is not None and np.array_equal(low.x, high.x):
        axes.vlines(_middle(low.x, hours), low.y, high.y, color=ink.INK, linewidth=1.0, zorder=3)
        for ends in (low, high):
            axes.plot(_middle(ends.x, hours), ends.y, "_", color=ink.INK, markersize=7, zorder=3)
    unit = in_words.unit("/min")
    _name(
        axes,
        f"{in_words.meaning(codes.VENTRICULAR_RATE)} [{unit}] · {in_words.text('rate_legend')}",
        in_words,
    )


def _episodes(
    axes: Any,
    seen: tuple[tuple[Concept, float, float], ...],
    kinds: tuple[Concept, ...],
    hours: float,
    in_words: Words,
) -> None:
    """Draw a line for each kind of episode; what is too short to be seen is a tick."""
    axes.grid(False)
    axes.set_ylim(max(1, len(kinds)) - 0.3, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for n, kind in enumerate(kinds):
        colour = _EPISODE_COLOURS.get(kind, ink.INK)
        mine = [(a / 3600, b / 3600) for what, a, b in seen if what == kind]
        axes.hlines([n] * len(mine), [a for a, _ in mine], [b for _, b in mine], color=colour, linewidth=4)
        axes.plot([a for a, _ in mine], [n] * len(mine), "|", color=colour, markersize=7)
        seconds = 3600 * sum(b - a for a, b in mine)
        unit, long = ("min", seconds / 60) if seconds >= 60 else ("s", seconds)
        text = in_words.text("episode_line").format(
            name=in_words.meaning(kind), n=len(mine), long=long, unit=in_words.unit(unit)
        )
        axes.text(0, n - 0.38, text, va="center", color=colour, **ink.font(in_words, 7))
    _name(axes, in_words.text("episodes"), in_words)


def _ectopy(
    axes: Any,
    table: dict[str, Any],
    beats: tuple[Floats, npt.NDArray[np.str_]],
    hours: float,
    in_words: Words,
) -> None:
    """Draw ectopic beats of each hour as the findings count them; of shorter recordings, of fewer minutes."""
    step = next(m for m in MINUTES if hours * 60 / m <= MOST_BARS or m == MINUTES[-1])
    below = np.zeros(0)
    for key, kind, colour in (
        ("v", "ventricular", ink.VENTRICULAR),
        ("s", "supraventricular", ink.SUPRAVENTRICULAR),
    ):
        if step == MINUTES[-1]:
            if key not in table:
                continue
            x, count = table[key].x, table[key].y
        else:
            x = np.arange(0.0, hours, step / 60)
            edges = np.append(x, max(hours, float(x[-1]) + 1e-6))
            count = np.histogram(beats[0][beats[1] == kind] / 3600, edges)[0]
        wide = np.minimum(step / 60, hours - x)
        below = below if len(below) == len(x) else np.zeros(len(x))
        axes.bar(x + wide / 2, count, width=0.86 * wide, bottom=below, color=colour, linewidth=0)
        below = below + count
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, hours)
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    _name(axes, in_words.text("ectopy").format(minutes=step), in_words)
    words = (("ventricular", ink.VENTRICULAR, 0.62), ("supraventricular", ink.SUPRAVENTRICULAR, 0.80))
    for key, colour, x in words:
        axes.text(x, 1.04, in_words.text(key), transform=axes.transAxes, color=colour, va="bottom",
                  **ink.font(in_words, 8))  # fmt: skip


def _pairs(times: Floats, kinds: npt.NDArray[np.str_]) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Return intervals, ms, and the kind of the beat that ends each."""
    return np.diff(times) * 1000.0, kinds[1:]


def _dots(axes: Any, x: Floats, y: Floats, kinds: npt.NDArray[np.str_], size: float) -> None:
    """Draw points by kind, rasterised: a day has a hundred thousand."""
    shown = (
        ("normal", ink.QUIET),
        ("supraventricular", ink.SUPRAVENTRICULAR),
        ("ventricular", ink.VENTRICULAR),
    )
    for kind, colour in shown:
        mine = (kinds == kind) | ((kinds == "other") & (kind == "normal"))
        axes.plot(
            x[mine],
            y[mine],
            ".",
            color=colour,
            markersize=size,
            markeredgewidth=0,
            alpha=0.6,
            rasterized=True,
        )


def _tachogram(axes: Any, times: Floats, kinds: npt.NDArray[np.str_], hours: float, in_words: Words) -> None:
    rr, ends = _pairs(times, kinds)
    _dots(axes, times[1:] / 3600, rr, ends, 1.6 if rr.size > MANY else 3.0)
    axes.set_ylim(
        RR_MS[0], max(1200.0, min(RR_MS[1], float(np.quantile(rr, 0.999)) * 1.1)) if rr.size else RR_MS[1]
    )
    axes.set_xlim(0, hours)
    _name(axes, ink.with_unit(in_words.meaning(codes.RR_INTERVAL), "ms", in_words), in_words)


def _poincare(axes: Any, times: Floats, kinds: npt.NDArray[np.str_], in_words: Words) -> None:
    rr, ends = _pairs(times, kinds)
    ink.quiet(axes)
    _dots(axes, rr[:-1], rr[1:], ends[1:], 2.0)
    high = min(RR_MS[1], max(1200.0, float(np.quantile(rr, 0.998)) * 1.1)) if rr.size else RR_MS[1]
    axes.plot([RR_MS[0], high], [RR_MS[0], high], color=ink.RULE, linewidth=0.8, zorder=0)
    axes.set_xlim(RR_MS[0], high)
    axes.set_ylim(RR_MS[0], high)
    axes.set_xlabel("RR(n) [ms]", color=ink.INK, **ink.font(in_words, 7.5))
    _name(axes, "RR(n+1) [ms]", in_words)


def _histogram(axes: Any, times: Floats, kinds: npt.NDArray[np.str_], in_words: Words) -> None:
    rr, ends = _pairs(times, kinds)
    ink.quiet(axes)
    shown = rr[(rr >= RR_MS[0]) & (rr <= RR_MS[1])]
    high = max(1200.0, float(np.quantile(shown, 0.999)) * 1.1) if shown.size else RR_MS[1]
    bins = np.arange(RR_MS[0], high + 25, 25)
    premature = np.isin(ends, ("ventricular", "supraventricular"))
    plain = rr[~premature]
    axes.hist(
        [plain, rr[premature]], bins=bins, stacked=True, color=[ink.QUIET, ink.VENTRICULAR], linewidth=0
    )
    axes.set_xlim(RR_MS[0], high)
    axes.set_xlabel(ink.with_unit("RR", "ms", in_words), color=ink.INK, **ink.font(in_words, 7.5))
    _name(axes, in_words.text("rr_histogram"), in_words)


def sheets(one: Findings, study: Study) -> int:
    """Return how many sheets the strips of some findings fill."""
    return -(-len(strips(one, study)) // A_SHEET)


def draw_strips(one: Findings, study: Study, sheet: int, in_words: Words) -> Figure:
    """Return one sheet of the strips that numbers and conclusions rest on, the first being 0."""
    shown = strips(one, study)[A_SHEET * sheet : A_SHEET * (sheet + 1)]
    rows = [_leads(strip) for strip in shown]
    drawn = [[_row(strip, lead) for lead in leads] for strip, leads in zip(shown, rows, strict=True)]
    longest = max(strip.stop_s - strip.start_s for strip in shown)
    width = float(np.ceil((2 * EDGE_MM + longest * MM_PER_S + 5) / 5) * 5)
    height = EDGE_MM + sum(TITLE_MM + sum(up + down for _, _, up, down in d) for d in drawn) + EDGE_MM
    figure = ink.blank(width / 25.4, height / 25.4, ink.SHEET)
    axes = figure.add_axes((0, 0, 1, 1))
    ink.squares(axes, width, height)
    top = EDGE_MM
    for strip, leads, traces in zip(shown, rows, drawn, strict=True):
        axes.text(EDGE_MM + 1, top + 6.5, _title(strip, study, in_words), color=ink.INK,
                  **ink.font(in_words, 9, fontweight="bold"))  # fmt: skip
        times, kinds = beats_in((one,), strip.ecg.origin.uid)
        inside = (times >= strip.start_s) & (times < strip.stop_s)
        top += TITLE_MM
        _marks(axes, times[inside] - strip.start_s, kinds[inside], top, in_words)
        for lead, (x, y, up, down) in zip(leads, traces, strict=True):
            base = top + up
            axes.plot(EDGE_MM + x, base - np.clip(y, -down, up), color=ink.TRACE, linewidth=0.75)
            axes.text(EDGE_MM + 1, base - 6, lead, color=ink.INK, **ink.font(in_words, 8, fontweight="bold"))
            top = base + down
    note = in_words.text("paper").format(mm_per_s=MM_PER_S, mm_per_mv=MM_PER_MV)
    axes.text(width - 3, height - 1.5, note, color=ink.QUIET, ha="right", **ink.font(in_words, 7))
    return figure


def _leads(strip: Strip) -> tuple[str, ...]:
    wanted = [lead for lead in ("MLII", "II", "V1", "V5") if lead in strip.leads]
    return tuple(dict.fromkeys((*wanted, *strip.leads)))[:STRIP_LEADS]


def _row(strip: Strip, lead: str) -> tuple[Floats, Floats, float, float]:
    """Return x and y of one lead, mm about its median, and the place it needs above and below."""
    rate = strip.ecg.rate_hz
    values = strip.ecg.signal.lead(lead)[round(strip.start_s * rate) : round(strip.stop_s * rate)]
    mv = np.asarray(values, np.float64)
    y = (mv - (np.nanmedian(mv) if np.isfinite(mv).any() else 0.0)) * MM_PER_MV
    up, down = (
        float(np.clip(np.ceil(v / 5) * 5, 10, 35))
        for v in (np.nanmax(y, initial=8), -np.nanmin(y, initial=-3))
    )
    return np.arange(len(y)) / rate * MM_PER_S, y, up, down


def _title(strip: Strip, study: Study, in_words: Words) -> str:
    item = strip.item
    said = say.name(item, in_words)
    if isinstance(item, Measurement):
        said = f"{said} {say.value(item)} {in_words.unit(item.unit)}".rstrip()
    else:
        said = f"{said}: {in_words.text(item.verdict)}"
    site = f" ({in_words.meaning(item.site)})" if item.site else ""
    return f"{said}{site}   {clock(strip.ecg, study.time, strip.start_s)}"


def _marks(axes: Any, at_s: Floats, kinds: npt.NDArray[np.str_], top: float, in_words: Words) -> None:
    """Write the letter of every ectopic beat above the strip, a point for the others."""
    letters = {"ventricular": ("V", ink.VENTRICULAR), "supraventricular": ("S", ink.SUPRAVENTRICULAR)}
    for at, kind in zip(at_s, kinds, strict=True):
        letter, colour = letters.get(str(kind), ("·", ink.QUIET))
        style = ink.font(in_words, 7.5, fontweight="bold")
        axes.text(EDGE_MM + at * MM_PER_S, top + 1, letter, color=colour, ha="center", **style)
