"""Figures as a cardiologist expects them: ECG paper, short-axis montage, long axes, curves, tachogram.

PNG by matplotlib's Agg, the same bytes for the same findings on the same machine. The words in a
figure are English where no installed font has the language's characters.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from carna import codes
from carna.case import Case
from carna.findings import Absent, Curve, Events, Field, Findings, Item, Measurement, Region, Shape, Statement
from carna.render import ink, paper, tiles
from carna.render.bullseye_figures import draw_bullseyes, has_bullseyes
from carna.render.disclosure import draw_page, pages
from carna.render.ecg_figures import draw_median
from carna.render.ecg_items import beat_kind, drawn_together, hourly, median
from carna.render.holter_figures import draw_strips, draw_summary, recording, sheets
from carna.render.say import both, study_of
from carna.render.twin_figures import draw_twin, has_twin
from carna.render.vessel_figures import (
    draw_pull_backs,
    draw_sac,
    draw_tree,
    has_pull_backs,
    has_sac,
    has_tree,
)
from carna.render.vessel_items import in_vessels
from carna.render.words import Language, Words, words
from carna.study import Cine, Ecg, Study, fingerprint
from carna.units import dimension

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CARRIES", "drawings", "figures", "footer", "of_study", "to_jpeg", "to_png", "to_svg"]

# A picture of something holds none of it whole.
CARRIES: frozenset[type] = frozenset()

MOST_TILES = 6

Draw = Callable[[], "Figure"]


def figures(
    findings: Findings | tuple[Findings, ...], case: Case, language: Language = "en"
) -> dict[str, bytes]:
    """Return PNG figures by name.

    Returns
    -------
    dict
        ``ecg.1`` (one an ECG, in the order of the parts), ``short-axis.1``, ``long-axis``,
        ``curve.<application>.<item id>`` and ``tachogram.<application>.<item id>``; of what
        `carna.render.ecg_items` describes ``median.<application>``, ``holter.<application>``,
        ``strips.<application>.1`` and, one an hour, ``disclosure.<application>.1``; of judged vessels
        ``vessels.<application>`` and ``pullback.<application>``, of an aneurysm
        ``sac.<application>``; of an ensemble of heart models
        ``twin.<application>``; of the 17 segments ``bullseye.<application>``.
    """
    return {name: to_png(draw()) for name, draw in drawings(findings, case, language)}


def drawings(
    findings: Findings | tuple[Findings, ...], case: Case, language: Language = "en"
) -> Iterator[tuple[str, Draw]]:
    """Yield the name of each figure and the function that draws it, for whoever wants another format."""
    said = both(findings)
    in_words = words(language if ink.family(language) else "en")
    for uid in dict.fromkeys(one.study for one in said):
        study = next(study_of(one, case) for one in said if one.study == uid)
        here = tuple(one for one in said if one.study == uid)
        yield from of_study(study, here, in_words)
        for one in here:
            yield from _together(one, study, in_words)
            for item in one.items:
                drawn = (
                    None if drawn_together(item) or in_vessels(item) else _item(item, one, study, in_words)
                )
                if drawn is not None:
                    yield drawn


def of_study(study: Study, said: tuple[Findings, ...], in_words: Words) -> Iterator[tuple[str, Draw]]:
    """Yield the figures of what arrived, with what was found marked in them."""
    for n, ecg in enumerate((p for p in study.parts if isinstance(p, Ecg)), 1):
        yield f"ecg.{n}", partial(_ecg, ecg, said, in_words)
    yield from _cines(study, said, in_words)


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG without a word of when or by what it was made."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def to_jpeg(figure: Figure) -> bytes:
    """Return a figure as JPEG: a montage takes a quarter of its size as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_jpg(buffer, pil_kwargs={"quality": 88})
    return buffer.getvalue()


def to_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element without a background; ``salt`` makes its ids unique in a page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # The names of its groups are the same in every figure, and nothing refers to them.
    return re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])


def _together(one: Findings, study: Study, in_words: Words) -> Iterator[tuple[str, Draw]]:
    """Yield the figures in which many items are drawn: a median beat, a long recording."""
    name = one.manifest.application
    if median(one) is not None:
        yield f"median.{name}", partial(draw_median, one, in_words)
    if has_twin(one):
        yield f"twin.{name}", partial(draw_twin, one, in_words)
    if has_bullseyes(one):
        yield f"bullseye.{name}", partial(draw_bullseyes, one, in_words)
    if has_tree(one):
        yield f"vessels.{name}", partial(draw_tree, one, study, in_words)
    if has_sac(one):
        yield f"sac.{name}", partial(draw_sac, one, in_words)
    if has_pull_backs(one):
        yield f"pullback.{name}", partial(draw_pull_backs, one, in_words)
    for n in range(sheets(one, study)):
        yield f"strips.{name}.{n + 1}", partial(draw_strips, one, study, n, in_words)
    ecg = recording(one, study)
    if ecg is not None:
        yield f"holter.{name}", partial(draw_summary, one, study, in_words)
        for n in range(pages(ecg)):
            yield f"disclosure.{name}.{n + 1}", partial(draw_page, ecg, one, n, study.time, in_words)


def _item(item: Item, one: Findings, study: Study, in_words: Words) -> tuple[str, Draw] | None:
    """Return the name of an item's own figure and what draws it."""
    name = f"{one.manifest.application}.{item.id}"
    match item:
        case Curve():
            return f"curve.{name}", partial(_curve, item, one, study, in_words)
        case Events():
            onsets = zip(item.type_index, item.onset_s, strict=True)
            beats = np.array([onset for n, onset in onsets if item.types[n] in paper.BEATS])
            # A long recording has its tachogram in its summary; beats told lead by lead are no sequence.
            wanted = beats.size > 3 and not hourly(one) and item.lead_index is None
            return (f"tachogram.{name}", partial(_tachogram, beats, in_words)) if wanted else None
        case Measurement() | Region() | Shape() | Field() | Statement() | Absent():
            return None


def _ecg(ecg: Ecg, said: tuple[Findings, ...], in_words: Words) -> Figure:
    sheet = paper.lay(ecg)
    w, h = sheet.width_mm, sheet.height_mm
    figure = ink.blank(w / 25.4, h / 25.4, ink.SHEET)
    axes = figure.add_axes((0, 0, 1, 1))
    ink.squares(axes, w, h)
    for base in sheet.rows_mm:
        x = np.cumsum([3, 2, 0, paper.PULSE_MM, 0, 2])
        axes.plot(x, base - np.array([0, 0, 1, 1, 0, 0]) * paper.MM_PER_MV, color=ink.INK, linewidth=0.8)
    beats = paper.beats_of(_events(said), ecg.origin.uid)
    for trace in sheet.traces:
        axes.plot(trace.x_mm, trace.y_mm, color=ink.TRACE, linewidth=0.75, solid_joinstyle="round")
        axes.text(
            trace.left_mm + 1,
            trace.base_mm - 11,
            trace.lead,
            color=ink.INK,
            **ink.font(in_words, 8, fontweight="bold"),
        )
        if trace.left_mm > paper.LEFT_MM:
            axes.plot(
                [trace.left_mm] * 2, [trace.base_mm - 2, trace.base_mm + 2], color=ink.INK, linewidth=0.8
            )
        if trace.rhythm:
            for what, times in beats:
                x = paper.on_trace(trace, times)
                axes.plot(
                    x,
                    np.full(x.size, trace.mark_mm),
                    "v",
                    color=ink.BEATS[beat_kind(what)],
                    markersize=4,
                    markeredgewidth=0,
                )
    axes.text(w - 3, h - 2, footer(sheet, in_words), color=ink.QUIET, ha="right", **ink.font(in_words, 7))
    return figure


def footer(sheet: paper.Paper, in_words: Words) -> str:
    """Return speed and gain, and how much of the recording is on the sheet."""
    text = in_words.text
    pieces = [text("paper").format(mm_per_s=paper.MM_PER_S, mm_per_mv=paper.MM_PER_MV)]
    if sheet.shown_leads < sheet.leads:
        pieces.insert(0, text("shown_leads").format(shown=sheet.shown_leads, leads=sheet.leads))
    if sheet.shown_s < sheet.seconds - 0.01:
        pieces.insert(0, text("shown").format(shown=sheet.shown_s, seconds=sheet.seconds))
    return "   ".join(pieces)


def _events(said: tuple[Findings, ...]) -> list[Events]:
    return [item for one in said for item in one.items if isinstance(item, Events)]


def _cines(study: Study, said: tuple[Findings, ...], in_words: Words) -> Iterator[tuple[str, Draw]]:
    """Yield a montage for each stack, and one figure of all single slices."""
    cines = [p for p in study.parts if isinstance(p, Cine)]
    stacks = [c for c in cines if len(c.planes) > 2]
    for n, cine in enumerate(stacks, 1):
        yield f"short-axis.{n}", partial(_stack, cine, said, in_words)
    singles = [c for c in cines if len(c.planes) <= 2]
    if singles:
        yield "long-axis", partial(_long_axes, singles[:MOST_TILES], study, said, in_words)


def _stack(cine: Cine, said: tuple[Findings, ...], in_words: Words) -> Figure:
    regions = tiles.regions_on(said, cine.origin.uid)
    slices = tiles.pick_slices(cine, regions, MOST_TILES)
    rows = [
        [(tiles.tile(cine, regions, k, frame), in_words.text("slice").format(n=k + 1)) for k in slices]
        for _, frame in tiles.moments(cine, said)
    ]
    return _montage(rows, _row_names(cine, said, in_words), in_words)


def _long_axes(cines: list[Cine], study: Study, said: tuple[Findings, ...], in_words: Words) -> Figure:
    phases = [tiles.moments(c, said) for c in cines]
    count = min(len(p) for p in phases)
    rows: list[list[tuple[tiles.Tile, str]]] = [[] for _ in range(count)]
    regions = [item for one in said for item in one.items if isinstance(item, Region)]
    for cine, moments in zip(cines, phases, strict=True):
        caption = fingerprint(cine, study).view or ""
        for row in range(count):
            rows[row].append((tiles.tile(cine, regions, 0, moments[row][1]), caption))
    names = _row_names(cines[0], said, in_words) if count > 1 else ()
    return _montage(rows, names, in_words)


def _row_names(cine: Cine, said: tuple[Findings, ...], in_words: Words) -> tuple[str, ...]:
    short = {codes.END_DIASTOLE: in_words.text("ed"), codes.END_SYSTOLE: in_words.text("es"), None: ""}
    names = []
    for phase, frame in tiles.moments(cine, said):
        number = in_words.text("frame").format(n=frame + 1)
        names.append(f"{short[phase]}\n{number}" if phase else number)
    return tuple(names)


def _montage(rows: list[list[tuple[tiles.Tile, str]]], names: tuple[str, ...], in_words: Words) -> Figure:
    """Return pictures in rows on black: slice numbers on top, moments at the left, one scale bar."""
    side, left, top = 1.55, 0.62 if names else 0.0, 0.24
    width, height = left + side * len(rows[0]), top + side * len(rows)
    figure = ink.blank(width, height, "#000000")
    light: dict[str, Any] = {"color": "#e6e9ec"}
    for r, row in enumerate(rows):
        if names:
            middle = 1 - (top + side * (r + 0.5)) / height
            figure.text(
                0.30 / width, middle, names[r], ha="center", va="center", **light, **ink.font(in_words, 7.5)
            )
        for c, (shown, caption) in enumerate(row):
            x, y, inner = left + c * side + 0.02, height - top - (r + 1) * side + 0.02, side - 0.04
            axes = figure.add_axes((x / width, y / height, inner / width, inner / height))
            _picture(axes, shown, in_words, lettered=c == 0, barred=c == len(row) - 1 and r == len(rows) - 1)
            if r == 0:
                figure.text((left + side * (c + 0.5)) / width, 1 - 0.13 / height, caption, ha="center",
                            va="center", **light, **ink.font(in_words, 7))  # fmt: skip
    return figure


def _edged(colour: str) -> dict[str, Any]:
    """Return a colour with a dark edge, readable on bright tissue."""
    from matplotlib.patheffects import withStroke

    return {"color": colour, "path_effects": [withStroke(linewidth=1.6, foreground="#000000")]}


def _picture(axes: Any, shown: tiles.Tile, in_words: Words, *, lettered: bool, barred: bool) -> None:
    mm_r, mm_c = shown.spacing_mm
    height, width = shown.pixels.shape
    axes.imshow(shown.pixels, cmap="gray", vmin=0, vmax=1, interpolation="bicubic", aspect=mm_r / mm_c)
    axes.set_axis_off()
    for mask, n in shown.outlines:
        axes.contour(
            mask.astype(float), levels=[0.5], colors=[ink.OUTLINES[n % len(ink.OUTLINES)]], linewidths=0.9
        )
    if lettered:
        places = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.03))
        turns = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
        for letter, (x, y), (ha, va) in zip(shown.letters, places, turns, strict=True):
            style = {**_edged("#9fd8ff"), **ink.font(in_words, 6.5)}
            axes.text(x, y, letter, transform=axes.transAxes, ha=ha, va=va, **style)
    if barred:
        bar = 20.0 / mm_c
        y, x = height * 0.95, width * 0.95 - bar
        axes.plot([x, x + bar], [y, y], color="#ffffff", linewidth=1.4, solid_capstyle="butt")
        style = {**_edged("#ffffff"), **ink.font(in_words, 6)}
        axes.text(x + bar / 2, y - height * 0.02, "20 mm", ha="center", va="bottom", **style)


def _curve(item: Curve, one: Findings, study: Study, in_words: Words) -> Figure:
    """Return a curve with the moments found in the cine it was made from."""
    parts = [study.part(e.part) for e in item.evidence]
    after_r = any(isinstance(part, Cine) for part in parts)
    timed = dimension(item.x_unit) == dimension("s")
    x_name = in_words.text("time_after_r" if after_r else "time") if timed else ""
    y_label = ink.with_unit(in_words.meaning(item.code), item.y_unit, in_words)
    figure, axes = ink.plot(in_words, ink.with_unit(x_name, item.x_unit, in_words), y_label)
    axes.plot(item.x, item.y, color=ink.LINE, linewidth=1.5, marker="o", markersize=2.6, clip_on=False)
    axes.margins(x=0.02, y=0.18)
    for part in parts:
        if not isinstance(part, Cine) or part.values.shape[0] != len(item.x):
            continue
        for phase, frame in tiles.moments(part, (one,)):
            if phase is None:
                continue
            colour = ink.DIASTOLE if phase == codes.END_DIASTOLE else ink.SYSTOLE
            name = in_words.text("ed" if phase == codes.END_DIASTOLE else "es")
            axes.axvline(item.x[frame], color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
            above = axes.get_xaxis_transform()
            bold = ink.font(in_words, 8, fontweight="bold")
            axes.text(item.x[frame], 1.02, name, transform=above, ha="center", color=colour, **bold)
    return figure


def _tachogram(onsets_s: np.ndarray[Any, np.dtype[np.float64]], in_words: Words) -> Figure:
    x_label = ink.with_unit(in_words.text("time_in_recording"), "s", in_words)
    figure, axes = ink.plot(
        in_words, x_label, ink.with_unit(in_words.meaning(codes.RR_INTERVAL), "ms", in_words)
    )
    intervals = np.diff(onsets_s) * 1000.0
    axes.plot(
        onsets_s[1:], intervals, color=ink.LINE, linewidth=1.1, marker="o", markersize=3.2, clip_on=False
    )
    middle = float(np.median(intervals))
    reach = max(float(np.abs(intervals - middle).max()) * 1.25, 100.0)
    axes.set_ylim(max(middle - reach, 0.0), middle + reach)
    axes.margins(x=0.02)
    return figure
