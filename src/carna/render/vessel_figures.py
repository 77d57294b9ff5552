"""Vessels as they are read: the tree from three sides coloured by the computed ratio, and its pull-backs.

One colour means one ratio in every figure, from red through yellow at 0.80 to blue. Vessels too narrow to be
spoken of are grey. Lesions carry the numbers of their table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.findings import Field, Findings, Shape
from carna.render import ink
from carna.render.vessel_items import Lesion, Pull, lesions, name_of, pulls, tree
from carna.render.words import Words
from carna.space import Surface, VesselTree
from carna.study import Geometry, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_pull_backs", "draw_sac", "draw_tree", "has_pull_backs", "has_sac", "has_tree"]

Floats = npt.NDArray[np.float64]

LOWEST, MIDDLE = 0.5, 0.8
GREY: Final = "#b9c0c8"
# Which axes lie to the right and up, which looks at the reader, for LPS: from the front, the left, above.
_VIEWS: Final = (
    ("front", (1, 0, 0), (0, 0, 1), (0, -1, 0)),
    ("left", (0, 1, 0), (0, 0, 1), (1, 0, 0)),
    ("above", (1, 0, 0), (0, -1, 0), (0, 0, 1)),
)


def has_tree(one: Findings) -> bool:
    """Whether there is a tree to draw."""
    return tree(one) is not None


def has_pull_backs(one: Findings) -> bool:
    """Whether there are pull-backs to draw."""
    return bool(pulls(one))


def draw_tree(one: Findings, study: Study, in_words: Words) -> Figure:
    """Return the tree from three sides with a colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import TwoSlopeNorm

    found = tree(one)
    assert found is not None
    whole, ratio, narrow = found
    every = whole.points if narrow is None else np.vstack([whole.points, narrow.points])
    middle = (every.min(0) + every.max(0)) / 2
    size = np.ptp(every, axis=0) + 6.0
    # Three pictures at one scale, side by side; the bar beside them.
    wide = [float(np.abs(np.array(right)) @ size) for _, right, _, _ in _VIEWS]
    tall = max(float(np.abs(np.array(up)) @ size) for _, _, up, _ in _VIEWS)
    width_in, gap, bar, head = 9.2, 0.15, 1.15, 0.38
    scale = min((width_in - bar - 4 * gap) / sum(wide), 4.6 / tall)  # inches per mm
    height_in = max(tall * scale, 1.9) + head + 0.1
    figure = ink.blank(width_in, height_in)
    scheme = ScalarMappable(TwoSlopeNorm(MIDDLE, LOWEST, 1.0), "RdYlBu")
    part = next((study.part(e.part) for e in ratio.evidence), None)
    stated = isinstance(part, Geometry) and any("frame is not stated" in n for n in part.origin.notes)
    left = gap + max(0.0, (width_in - bar - 4 * gap - sum(wide) * scale) / 2)
    for (name, *axes_of), across in zip(_VIEWS, wide, strict=True):
        place = (left / width_in, 0.05 / height_in, across * scale / width_in, (height_in - head) / height_in)
        axes = figure.add_axes(place)
        box = (across, (height_in - head) / scale)
        _view(axes, found, np.array(axes_of, float), middle, box, scale, scheme)
        _marks(axes, lesions(one), np.array(axes_of, float), middle, in_words)
        title = in_words.text(f"from_{name}") + (f" ({in_words.text('frame_taken')})" if stated else "")
        if across * scale < 2.2:
            title = in_words.text(f"from_{name}")
        x = (left + across * scale / 2) / width_in
        figure.text(
            x, 1 - 0.16 / height_in, title, ha="center", va="center", color=ink.QUIET, **ink.font(in_words, 8)
        )
        if name == "front":
            _bar(axes, box, in_words)
        left += across * scale + gap
    beside = figure.add_axes(
        (
            (width_in - bar + 0.12) / width_in,
            0.3 / height_in,
            0.16 / width_in,
            (height_in - head - 0.5) / height_in,
        )
    )
    ticks = [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0] if height_in > 3 else [0.5, 0.65, 0.8, 0.9, 1.0]
    shown = figure.colorbar(scheme, cax=beside, ticks=ticks)
    shown.outline.set_visible(False)
    beside.set_yticklabels([f"{t:g}" if t > LOWEST else f"\N{LESS-THAN OR EQUAL TO} {t:g}" for t in ticks])
    beside.tick_params(colors=ink.INK, labelsize=7.5, length=2, labelfontfamily=ink.family("en")[0])
    kind = in_words.text("ratio_ffr" if ratio.code == codes.FFR_COMPUTED else "ratio_pd_pa")
    figure.text(
        (width_in - bar + 0.1) / width_in, 1 - 0.16 / height_in, kind, va="center", color=ink.INK,
        **ink.font(in_words, 8),
    )  # fmt: skip
    return figure


def _view(
    axes: Any,
    found: Any,
    frame: Floats,
    middle: Floats,
    box: tuple[float, float],
    scale: float,
    scheme: Any,
) -> None:
    """Draw the tubes of one view, far ones first, each with a dark edge that parts it from others."""
    from matplotlib.collections import LineCollection

    whole, ratio, narrow = found
    axes.set_xlim(-box[0] / 2, box[0] / 2)
    axes.set_ylim(-box[1] / 2, box[1] / 2)
    axes.set_axis_off()
    lines, widths, colours, depth = [], [], [], []
    drawn: list[tuple[VesselTree, Floats | None]] = [(whole, np.asarray(ratio.values, float))]
    drawn += [(narrow, None)] if narrow is not None else []
    for shape, values in drawn:
        flat = (shape.points - middle) @ frame.T
        ends = flat[shape.edges]
        lines += list(ends[:, :, :2])
        wide = np.zeros(len(shape.points)) if shape.radius_mm is None else shape.radius_mm
        widths += (2 * wide[shape.edges].mean(1) * scale * 72).tolist()
        depth += ends[:, :, 2].mean(1).tolist()
        if values is None:
            colours += [GREY] * len(ends)
        else:
            colours += list(scheme.to_rgba(values[shape.edges].mean(1)))
    order = np.argsort(depth)
    thick = np.maximum(np.array(widths), 1.0)
    # In slices of depth, so that the dark edge of a near vessel lies over a far one; cut off at the slice's
    # ends, or it would ring the vessel there.
    for part in np.array_split(order, max(1, min(24, len(order) // 20))):
        rows = [lines[n] for n in part]
        axes.add_collection(
            LineCollection(rows, linewidths=thick[part] + 1.1, colors="#39424d", capstyle="butt")
        )
        axes.add_collection(
            LineCollection(rows, linewidths=thick[part], colors=[colours[n] for n in part], capstyle="round")
        )


def _marks(axes: Any, found: tuple[Lesion, ...], frame: Floats, middle: Floats, in_words: Words) -> None:
    """Put each lesion's number beside its throat."""
    for lesion in found:
        if lesion.shape is None or lesion.shape.radius_mm is None:
            continue
        throat = lesion.shape.points[int(np.argmin(lesion.shape.radius_mm))]
        x, y = ((throat - middle) @ frame.T)[:2]
        axes.annotate(
            str(lesion.number), (x, y), (13, 9), textcoords="offset points", ha="center", va="center",
            color="#ffffff", bbox={"boxstyle": "circle,pad=0.25", "facecolor": ink.INK, "linewidth": 0},
            arrowprops={"arrowstyle": "-", "color": ink.INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 1},
            **ink.font(in_words, 7, fontweight="bold"),
        )  # fmt: skip


def _bar(axes: Any, box: tuple[float, float], in_words: Words) -> None:
    """Draw a scale bar in the lower left corner."""
    length = 20.0 if box[0] > 50 else 5.0
    x, y = -box[0] / 2 + 1, -box[1] / 2 + 2
    axes.plot([x, x + length], [y, y], color=ink.INK, linewidth=1.4, solid_capstyle="butt")
    axes.text(
        x + length / 2, y + 0.01 * box[1], f"{length:g} mm", ha="center", va="bottom", color=ink.INK,
        **ink.font(in_words, 7),
    )  # fmt: skip


def draw_pull_backs(one: Findings, in_words: Words) -> Figure:
    """Return the pull-back of each vessel, two a row, with its band, the cut-off and the lesions on it."""
    found = pulls(one)
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    width_in, tall, head = 9.2, 1.75, 0.62
    figure = ink.blank(width_in, rows * (tall + head) + 0.15)
    height_in = figure.get_figheight()
    reach = max(float(p.median.x[-1]) for p in found)
    lowest = min(0.7, float(min(p.low.y.min() for p in found)) - 0.03)
    cut = one.manifest.settings.get("cut")
    for n, pull in enumerate(found):
        row, column = divmod(n, columns)
        span = (width_in - 0.65 - 0.45 * (columns - 1)) / columns
        place = (0.5 + column * (span + 0.45), height_in - (row + 1) * (tall + head) + 0.32)
        axes = figure.add_axes((place[0] / width_in, place[1] / height_in, span / width_in, tall / height_in))
        ink.quiet(axes)
        axes.set_xlim(0, reach)
        axes.set_ylim(lowest, 1.01)
        _pull(axes, pull, tuple(x for x in lesions(one) if x.along == pull.number), cut, in_words)
        if row == rows - 1 or n + columns >= len(found):
            label = ink.with_unit(in_words.text("from_inlet"), "mm", in_words)
            axes.set_xlabel(label, color=ink.INK, **ink.font(in_words, 8))
    return figure


def _pull(axes: Any, pull: Pull, on_it: tuple[Lesion, ...], cut: Any, in_words: Words) -> None:
    x = pull.median.x
    axes.fill_between(x, pull.low.y, pull.high.y, color=ink.LINE, alpha=0.18, linewidth=0)
    axes.plot(x, pull.median.y, color=ink.LINE, linewidth=1.5)
    if isinstance(cut, float):
        axes.axhline(cut, color=ink.SYSTOLE, linewidth=0.9, linestyle=(0, (4, 3)))
    below = axes.get_ylim()[0]
    for lesion in on_it:
        place, length = lesion.numbers.get("place"), lesion.numbers.get("length")
        if place is None:
            continue
        half = length.value / 2 if length is not None else 1.0
        axes.axvspan(place.value - half, place.value + half, color=ink.QUIET, alpha=0.22, linewidth=0)
        bold = ink.font(in_words, 8, fontweight="bold")
        axes.text(place.value, below, f" {lesion.number}", ha="center", va="bottom", color=ink.INK, **bold)
    name = name_of(pull.median.site, pull.number, in_words)
    if pull.index is not None:
        name += f"   PPG {pull.index.value:.2f}"
    axes.text(0, 1.05, name, transform=axes.transAxes, color=ink.INK, va="bottom", **ink.font(in_words, 8))


def has_sac(one: Findings) -> bool:
    """Whether there is a surface with a sac marked on it."""
    return _sac(one) is not None


def _sac(one: Findings) -> tuple[Surface, Floats] | None:
    vessel, sac = one.get("vessel"), one.get("vessel.sac")
    if not (isinstance(vessel, Shape) and isinstance(sac, Field) and sac.code == codes.ANEURYSM_SAC):
        return None
    return (vessel.shape, sac.values) if isinstance(vessel.shape, Surface) else None


def draw_sac(one: Findings, in_words: Words) -> Figure:
    """Return the surface from three sides, its sac in another colour."""
    from matplotlib.collections import PolyCollection

    found = _sac(one)
    assert found is not None
    surface, sac = found
    middle = (surface.points.min(0) + surface.points.max(0)) / 2
    size = np.ptp(surface.points, axis=0) + 2.0
    wide = [float(np.abs(np.array(right)) @ size) for _, right, _, _ in _VIEWS]
    tall = max(float(np.abs(np.array(up)) @ size) for _, _, up, _ in _VIEWS)
    width_in, gap, head = 9.2, 0.2, 0.38
    scale = min((width_in - 4 * gap) / sum(wide), 3.6 / tall)
    height_in = tall * scale + head + 0.1
    figure = ink.blank(width_in, height_in)
    left = (width_in - sum(wide) * scale - 2 * gap) / 2
    in_sac = sac[surface.triangles].mean(1) > 0.5
    for (name, *axes_of), across in zip(_VIEWS, wide, strict=True):
        place = (left / width_in, 0.05 / height_in, across * scale / width_in, (height_in - head) / height_in)
        axes = figure.add_axes(place)
        axes.set_xlim(-across / 2, across / 2)
        axes.set_ylim(-(height_in - head) / scale / 2, (height_in - head) / scale / 2)
        axes.set_axis_off()
        corners = ((surface.points - middle) @ np.array(axes_of, float).T)[surface.triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        light = np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
        base = np.where(in_sac[:, None], (0.76, 0.15, 0.18), (0.62, 0.66, 0.70))
        shade = base * (0.45 + 0.55 * light[:, None])
        order = np.argsort(corners[:, :, 2].mean(1))
        colours = shade[order]
        axes.add_collection(
            PolyCollection(corners[order][:, :, :2], facecolors=colours, edgecolors=colours, linewidths=0.2)
        )
        x = (left + across * scale / 2) / width_in
        figure.text(
            x, 1 - 0.16 / height_in, in_words.text(f"from_{name}"), ha="center", va="center", color=ink.QUIET,
            **ink.font(in_words, 8),
        )  # fmt: skip
        if name == "front":
            _bar(axes, (across, (height_in - head) / scale), in_words)
        left += across * scale + gap
    return figure
