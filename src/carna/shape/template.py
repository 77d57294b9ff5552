"""The template of both ventricles: one topology for every heart and every phase.

Three closed surfaces share a layout of ``RINGS`` levels between the base plane and their own tip::

    LV_ENDO, LV_EPI   each ring has SPOKES points, spoke m at the angle 2 pi m / SPOKES; one point at the tip
    RV                each ring runs along the inner side, round one edge, and back along the outer side

Angles turn about the long axis of the left ventricle from the middle of the septum, as in
`carna.heart.axes.Axes`: x to the septum, y across, z from the base to the apex. Levels are even in
``1 - sqrt(1 - s)`` of the normalised depth ``s``, for near its tip a round surface is as wide as the square
root of what is left of its depth. A lid closes each surface at the base, so each is watertight and its volume
is one of a cavity (`LV_ENDO`, `RV`) or of a cavity and its wall (`LV_EPI`).

The wall between the two left surfaces is cut into tetrahedra by the same layout: ring by ring, spoke by
spoke, in `LAYERS` layers, each box into six round its diagonal (Kuhn 1960, doi:10.1147/rd.45.0518).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "LEVELS",
    "LV_ENDO",
    "LV_EPI",
    "PARTS",
    "RV",
    "SPOKES",
    "VERTICES",
    "Part",
    "angles",
    "normals",
    "wall",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RINGS: Final = 18
SPOKES: Final = 40
ARC: Final = 14  # points of the right ventricle's inner and of its outer side, edges apart
LAYERS: Final = 3


def _levels() -> Floats:
    left = 1.0 - np.arange(RINGS) / RINGS
    return np.asarray(1.0 - left**2)


LEVELS: Final = _levels()  # normalised depth of the rings, 0 at the base, below 1


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One closed surface of the template.

    Attributes
    ----------
    name : str
    start : int
        Its first vertex among all.
    around : int
        Points of a ring.
    tip : bool
        Whether one point closes it; otherwise its last ring is closed like a purse.
    """

    name: str
    start: int
    around: int
    tip: bool

    @property
    def rings(self) -> slice:
        """The vertices of its rings, ring by ring."""
        return slice(self.start, self.start + RINGS * self.around)

    @property
    def vertices(self) -> slice:
        """All its vertices: rings, then the middle of the lid, then the tip."""
        return slice(self.start, self.stop)

    @property
    def stop(self) -> int:
        """One past its last vertex."""
        return self.start + RINGS * self.around + (2 if self.tip else 0)

    @property
    def triangles(self) -> Ints:
        """Triangles (m, 3) of indices from 0 at its own first vertex, outward in a right-handed frame."""
        return _triangles(self.around, self.tip)


LV_ENDO: Final = Part("LV endocardium", 0, SPOKES, True)
LV_EPI: Final = Part("LV epicardium", LV_ENDO.stop, SPOKES, True)
RV: Final = Part("RV endocardium", LV_EPI.stop, 2 * ARC + 2, False)
VERTICES: Final = RV.stop


PARTS: Final = (LV_ENDO, LV_EPI, RV)


def normals(points: Floats, part: Part) -> Floats:
    """Return the outward unit normals (v, 3) at a part's vertices, of all vertices (n, 3); lids left out."""
    own, triangles = points[part.vertices], part.triangles
    lid = RINGS * part.around if part.tip else -1
    side = triangles[~(triangles == lid).any(1)]
    if not part.tip:
        side = side[: 2 * (RINGS - 1) * part.around]
    a, b, c = (own[side[:, n]] for n in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(own)
    for n in range(3):
        np.add.at(total, side[:, n], face)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))


def angles() -> Floats:
    """Angles (SPOKES,) of the left spokes [rad], from the middle of the septum towards y."""
    return np.asarray(2.0 * np.pi * np.arange(SPOKES) / SPOKES)


@cache
def _triangles(around: int, tip: bool) -> Ints:
    """Triangles of stacked rings closed at both ends, outward where rings turn from x to y and z grows."""
    here = np.arange(RINGS * around).reshape(RINGS, around)
    a, b = here[:-1], np.roll(here, -1, axis=1)[:-1]
    c, d = here[1:], np.roll(here, -1, axis=1)[1:]
    sides = [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    top, bottom = here[0], here[-1]
    if tip:
        lid, end = RINGS * around, RINGS * around + 1
        sides.append(np.stack([np.full(around, lid), np.roll(top, -1), top], -1))
        sides.append(np.stack([bottom, np.roll(bottom, -1), np.full(around, end)], -1))
    else:
        strip = _strip(around)
        sides += [top[strip[:, ::-1]], bottom[strip]]
    triangles = np.concatenate(sides)
    triangles.flags.writeable = False
    return triangles


def _strip(around: int) -> Ints:
    """Triangles inside a flat ring: between its inner side and, counted backward, its outer side.

    Point 0 is one edge, then the outer side, the other edge, and the inner side back.
    """
    half = around // 2
    out: list[tuple[int, int, int]] = []
    for n in range(half):
        left, right = (-n) % around, n
        next_left, next_right = (-n - 1) % around, n + 1
        if left != right:
            out.append((left, right, next_right))
        if next_left != next_right:
            out.append((left, next_right, next_left))
    return np.array(out, np.int64)


@cache
def wall() -> tuple[Ints, Ints, Ints, Floats]:
    """Return the left wall as tetrahedra.

    Returns
    -------
    inner, outer : (p,) int
        For each point of the mesh, the vertex of `LV_ENDO` and of `LV_EPI` it lies between.
    cells : (m, 4) int
        Tetrahedra of these points, positive in a right-handed frame.
    share : (p,) float
        Where on the way from the inner to the outer vertex a point lies, 0 to 1.
    """
    # One more ring: the tip, as SPOKES points that are one. Boxes there lose the cells without a volume.
    ring = np.arange(RINGS * SPOKES).reshape(RINGS, SPOKES)
    tip = np.full((1, SPOKES), RINGS * SPOKES + 1)
    of = np.concatenate([ring, tip])
    across = LAYERS + 1
    place = {int(v): n for n, v in enumerate(np.unique(of))}
    column = np.vectorize(place.__getitem__)(of)
    point = column[..., None] * across + np.arange(across)
    cells = []
    for path in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        at = np.zeros((4, 3), int)
        for n, axis in enumerate(path):
            at[n + 1] = at[n]
            at[n + 1, axis] += 1
        box = [np.roll(point, -s, axis=1)[r : RINGS + r, :, h : LAYERS + h].ravel() for r, s, h in at]
        even = path in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        cells.append(np.stack(box if not even else [box[0], box[2], box[1], box[3]], -1))
    tets = np.concatenate(cells)
    whole = (np.sort(tets, 1)[:, 1:] != np.sort(tets, 1)[:, :-1]).all(1)
    vertex = np.repeat(np.unique(of), across)
    share = np.tile(np.arange(across) / LAYERS, len(place))
    return vertex + LV_ENDO.start, vertex + LV_EPI.start, tets[whole], share
