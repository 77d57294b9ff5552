"""What an ensemble of heart models says, in one picture: the scar, a lap of each circuit, and the shares.

The heart is its outer surface, seen from the side of the scar; letters at the edges are the patient's
directions. Activation is one lap of a circuit in one member, early light, late dark, in steps of 20 ms
or a multiple. Each
share is a dot on the line of its 95 % interval: what is not known is as wide as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.findings import Field, Findings, Interval, Measurement, Shape
from carna.render import ink
from carna.render.words import Words
from carna.space import Surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_twin", "has_twin"]

Floats = npt.NDArray[np.float64]

MOST_MAPS = 3
STEP_MS, MOST_STEPS = 20.0, 15
MUSCLE, SCARRED = "#e7c8bd", "#4a3b3b"
_SHARES = (codes.MODEL_REENTRY, codes.MODEL_CIRCUIT, codes.MODEL_UNPLACED, codes.MODEL_ISTHMUS_OPEN)
_LETTERS = ("LR", "PA", "HF")


def has_twin(findings: Findings) -> bool:
    """Whether some findings hold the share of an ensemble in which re-entry is inducible."""
    return any(isinstance(item, Measurement) for item in findings.coded(codes.MODEL_REENTRY))


def draw_twin(findings: Findings, in_words: Words) -> Figure:
    """Return the picture of an ensemble.

    Parameters
    ----------
    findings : Findings
        With `has_twin`.
    in_words : Words
    """
    maps, scar = _maps(findings)
    rows = [
        item
        for item in findings.items
        if isinstance(item, Measurement) and item.code in _SHARES and isinstance(item.uncertainty, Interval)
    ]
    shown = maps[:MOST_MAPS]
    top = 2.35 if scar is not None else 0.0
    figure = ink.blank(7.2, top + 0.75 + 0.3 * len(rows))
    height = top + 0.75 + 0.3 * len(rows)
    if scar is not None:
        surface, values = scar
        seen = _View(surface, values)
        wide = 1.0 / max(len(shown) + 1, 2)
        laps = [(in_words.text("twin_lap").format(id=id), values) for id, values in shown]
        for n, (title, of_map) in enumerate([(in_words.text("twin_scar"), None), *laps]):
            axes = figure.add_axes((n * wide + 0.01, 1 - top / height, wide - 0.02, (top - 0.28) / height))
            _heart(axes, seen, values, of_map, in_words, lettered=n == 0)
            figure.text(n * wide + wide / 2, 1 - 0.15 / height, title, ha="center", va="center",
                        color=ink.INK, **ink.font(in_words, 8, fontweight="bold"))  # fmt: skip
    _bars(figure, rows, height, in_words)
    return figure


def _maps(findings: Findings) -> tuple[list[tuple[str, Floats]], tuple[Surface, Floats] | None]:
    """Return the maps of activation with their titles, and the surface with its scar."""
    shapes = {i.id: i.shape for i in findings.items if isinstance(i, Shape) and isinstance(i.shape, Surface)}
    on = [i for i in findings.items if isinstance(i, Field) and i.on in shapes]
    scar = next(((shapes[i.on], i.values) for i in on if i.code == codes.SCAR), None)
    return [
        (i.id.split(".")[0].removeprefix("circuit"), i.values) for i in on if i.code == codes.ACTIVATION_TIME
    ], scar


class _View:
    """A surface seen from the side of its scar, upright: triangles in front, far ones first."""

    def __init__(self, surface: Surface, scar: Floats) -> None:
        points, triangles = surface.points, surface.triangles
        a, b, c = (points[triangles[:, n]] for n in range(3))
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1, keepdims=True)
        facing = scar[triangles].mean(axis=1)
        towards = (normal * facing[:, None]).sum(axis=0) if facing.any() else np.array([0.0, -1.0, 0.0])
        towards[2] *= 0.5  # rather from the side than from above: a reader knows where up is
        self.towards = towards / max(np.linalg.norm(towards), 1e-9)
        up = np.array([0.0, 0.0, 1.0]) - self.towards[2] * self.towards
        self.up = up / np.linalg.norm(up)
        self.right = np.cross(self.up, self.towards)
        depth = ((a + b + c) / 3.0) @ self.towards
        light = (normal / np.maximum(area, 1e-12)) @ self.towards
        front = np.flatnonzero(light > 0.0)
        self.order = front[np.argsort(depth[front], kind="stable")]
        flat = np.stack([points @ self.right, points @ self.up], axis=1)
        self.triangles = flat[triangles[self.order]]
        self.corners = triangles[self.order]
        self.shade = 0.45 + 0.55 * np.clip(light[self.order], 0.0, 1.0)

    def letters(self) -> tuple[str, str, str, str]:
        """The patient's directions beyond the left, right, upper and lower edge."""
        return _name(-self.right), _name(self.right), _name(self.up), _name(-self.up)


def _name(direction: Floats) -> str:
    order = np.argsort(-np.abs(direction))
    kept = [_LETTERS[axis][int(direction[axis] < 0)] for axis in order if abs(direction[axis]) > 0.34]
    return "".join(kept[:2])


def _heart(
    axes: Any, seen: _View, scar: Floats, times: Floats | None, in_words: Words, *, lettered: bool
) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import BoundaryNorm, to_rgb

    dark = scar[seen.corners].mean(axis=1)[:, None]
    colours = np.array(to_rgb(MUSCLE)) * (1 - dark) + np.array(to_rgb(SCARRED)) * dark
    if times is not None:
        step = STEP_MS * max(1, round(float(times.max()) / MOST_STEPS / STEP_MS))
        last = max(float(np.ceil(times.max() / step)) * step, 2 * step)
        levels = np.arange(0.0, last + step / 2, step)
        norm, palette = BoundaryNorm(levels, 256), colormaps["viridis_r"]
        here = palette(norm(times[seen.corners].mean(axis=1)))[:, :3]
        colours = np.where(dark > 0.75, colours, here)
        bar = axes.figure.colorbar(
            ScalarMappable(norm, palette), ax=axes, orientation="horizontal", fraction=0.05, pad=0.02,
            shrink=0.7, ticks=[0.0, last / 2, last],
        )  # fmt: skip
        bar.ax.tick_params(labelsize=6.5, colors=ink.QUIET, length=2, labelfontfamily=ink.family("en")[0])
        bar.ax.set_xlabel("ms", color=ink.QUIET, labelpad=1, **ink.font(in_words, 6.5))
        bar.outline.set_linewidth(0.3)
    shaded = np.clip(colours * seen.shade[:, None], 0.0, 1.0)
    axes.add_collection(
        PolyCollection(list(seen.triangles), facecolors=shaded, edgecolors=shaded, linewidths=0.25)
    )
    low, high = seen.triangles.min(axis=(0, 1)), seen.triangles.max(axis=(0, 1))
    axes.set_xlim(low[0] - 8, high[0] + 8)
    axes.set_ylim(low[1] - 8, high[1] + 8)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if lettered:
        places = ((0.0, 0.5, "left", "center"), (1.0, 0.5, "right", "center"),
                  (0.5, 1.0, "center", "top"), (0.5, 0.0, "center", "bottom"))  # fmt: skip
        for letter, (x, y, ha, va) in zip(seen.letters(), places, strict=True):
            axes.text(x, y, letter, transform=axes.transAxes, ha=ha, va=va, color=ink.QUIET,
                      **ink.font(in_words, 7))  # fmt: skip


def _bars(figure: Figure, rows: list[Measurement], height: float, in_words: Words) -> None:
    axes = figure.add_axes((0.47, 0.5 / height, 0.5, 0.3 * len(rows) / height))
    ink.quiet(axes)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=ink.RULE, linewidth=0.6)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    for n, row in enumerate(rows):
        assert isinstance(row.uncertainty, Interval)
        inner = row.code == codes.MODEL_ISTHMUS_OPEN
        colour = ink.DIASTOLE if inner else ink.LINE
        ends = [row.uncertainty.low, row.uncertainty.high]
        axes.plot(ends, [n, n], color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="round")
        axes.plot([row.value], [n], "o", color=colour, markersize=5.5, clip_on=False)
        place = "" if row.site is None else in_words.meaning(row.site).replace("left ventricle ", "")
        name = in_words.text(_WORD[row.code]).format(id=row.id.split(".")[0].removeprefix("circuit"))
        text = f"{name} · {place}" if place and not inner else name
        axes.text(-0.03, n, text, transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=ink.INK, **ink.font(in_words, 7.5))  # fmt: skip
    axes.set_xlabel(in_words.text("twin_share"), color=ink.INK, **ink.font(in_words, 7.5))


_WORD = {
    codes.MODEL_REENTRY: "twin_any",
    codes.MODEL_CIRCUIT: "twin_circuit",
    codes.MODEL_UNPLACED: "twin_unplaced",
    codes.MODEL_ISTHMUS_OPEN: "twin_open",
}
