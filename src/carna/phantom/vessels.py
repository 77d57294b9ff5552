"""Virtual vessels as cases: a left coronary tree and a renal artery with known narrowings, an aneurysm.

The trees lie in the patient's frame: the anterior descending artery runs forward and down, the circumflex
backward, the renal artery to the left. A lesion loses a stated share of the diameter at its throat, with the
shoulders of a Gaussian, so that what an application finds can be laid beside what was put in.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from carna.case import Case
from carna.findings.model import NAMESPACE
from carna.phantom.study import NAME, TIME
from carna.space import Surface, VesselTree
from carna.study import Geometry, Origin, Patient, Record, Study
from carna.study.parts import Entry

Floats = npt.NDArray[np.float64]

STEP_MM: Final = 0.5
BORN = "1948-06-15"

# Knots of each branch, LPS mm; the first of a branch lies on its parent.
_CORONARY: Mapping[str, tuple[tuple[float, float, float], ...]] = MappingProxyType(
    {
        "main": ((0, 0, 0), (6, -2, -1), (11, -5, -2)),
        "descending": (
            *((11, -5, -2), (18, -16, -8), (26, -26, -24)),
            *((30, -32, -44), (27, -34, -66), (20, -30, -86)),
        ),
        "circumflex": ((11, -5, -2), (20, 0, -6), (31, 9, -16), (36, 19, -30), (35, 26, -46)),
        "diagonal": ((18, -16, -8), (27, -20, -20), (36, -22, -36), (40, -22, -52)),
        "marginal": ((31, 9, -16), (38, 8, -28), (43, 5, -44), (44, 0, -58)),
    }
)
# Radius at the head and at the tail, mm, without lesions: diameters after Dodge et al. 1992.
_WIDE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "main": (2.25, 2.2),
        "descending": (1.85, 0.85),
        "circumflex": (1.65, 0.95),
        "diagonal": (1.15, 0.75),
        "marginal": (1.15, 0.75),
    }
)
_RENAL: Mapping[str, tuple[tuple[float, float, float], ...]] = MappingProxyType(
    {
        "renal": ((0, 0, 0), (10, 2, -3), (24, 6, -6), (38, 12, -8)),
        "anterior": ((38, 12, -8), (46, 12, -2), (54, 13, 2)),
        "posterior": ((38, 12, -8), (45, 17, -13), (52, 21, -18)),
    }
)
_RENAL_WIDE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"renal": (2.9, 2.7), "anterior": (2.1, 1.9), "posterior": (1.9, 1.7)}
)
# Branch -> where its throat lies (mm from the branch's head), share of the diameter lost, half width (mm).
Narrowings = Mapping[str, tuple[float, float, float]]
CORONARY_LESIONS: Narrowings = MappingProxyType(
    {"descending": (30.0, 0.68, 4.5), "circumflex": (16.0, 0.42, 3.5)}
)
RENAL_LESIONS: Narrowings = MappingProxyType({"renal": (10.0, 0.65, 3.5)})


def coronary_tree(lesions: Narrowings = CORONARY_LESIONS) -> VesselTree:
    """Return a left coronary tree: left main, anterior descending, circumflex, a diagonal and a marginal.

    Parameters
    ----------
    lesions : mapping of str to (float, float, float)
        Branch to the throat's distance from its head (mm), the share of the diameter lost there, and the half
        width of the narrowing (mm); {} for a healthy tree.
    """
    return _tree(_CORONARY, _WIDE, lesions)


def renal_tree(lesions: Narrowings = RENAL_LESIONS) -> VesselTree:
    """Return a left renal artery with its two divisions; parameters as `coronary_tree`."""
    return _tree(_RENAL, _RENAL_WIDE, lesions)


def _tree(
    knots: Mapping[str, tuple[tuple[float, float, float], ...]],
    wide: Mapping[str, tuple[float, float]],
    lesions: Narrowings,
) -> VesselTree:
    points: list[Floats] = []
    radius: list[float] = []
    edges: list[tuple[int, int]] = []
    for name, places in knots.items():
        line = _smooth(np.array(places, float))
        along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))))
        first, last = wide[name]
        r = first * (last / first) ** (along / along[-1])
        if name in lesions:
            at, depth, half = lesions[name]
            r = r * (1 - depth * np.exp(-(((along - at) / half) ** 2)))
        start, row = len(points), list[int]()
        if points:
            # The branch begins at the nearest point of what is there; its own first point is left out.
            row = [int(np.argmin(np.linalg.norm(np.array(points) - line[0], axis=1)))]
            line, r = line[2:], r[2:]
        points += list(line)
        radius += r.tolist()
        row += range(start, len(points))
        edges += list(itertools.pairwise(row))
    return VesselTree(np.array(points), np.array(edges), np.array(radius))


def _smooth(knots: Floats) -> Floats:
    """Return a curve through knots at equal steps."""
    from scipy.interpolate import CubicSpline

    way = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))))
    curve = CubicSpline(way, knots, bc_type="natural")
    fine = curve(np.linspace(0, way[-1], 2000))
    along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))))
    even = np.linspace(0, along[-1], round(along[-1] / STEP_MM) + 1)
    return np.stack([np.interp(even, along, fine[:, k]) for k in range(3)], axis=1)


def aneurysm_surface(
    *, artery_mm: float = 1.75, sac_mm: float = 2.6, off_mm: float = 3.0, step_mm: float = 0.3
) -> Surface:
    """Return the surface of a straight artery along z, open at both ends, with a ball on its side.

    Parameters
    ----------
    artery_mm, sac_mm : float
        Radii of the artery and of the ball.
    off_mm : float
        Distance of the ball's centre from the artery's axis.
    step_mm : float
        Voxels whose faces, smoothed, are the surface.
    """
    half = 12.0
    x = np.arange(-artery_mm - 1, off_mm + sac_mm + 1, step_mm)
    y = np.arange(-max(artery_mm, sac_mm) - 1, max(artery_mm, sac_mm) + 1, step_mm)
    z = np.arange(-half, half, step_mm)
    at = np.meshgrid(x, y, z, indexing="ij")
    tube = np.hypot(at[0], at[1]) < artery_mm
    ball = (at[0] - off_mm) ** 2 + at[1] ** 2 + at[2] ** 2 < sac_mm**2
    blood = tube | ball
    points, faces = list[Floats](), list[npt.NDArray[np.int64]]()
    for axis in range(3):
        for side in (1, -1):
            open_ = blood & ~np.roll(blood, -side, axis)
            if axis == 2:  # the ends are left open
                open_[:, :, [0, -1]] = False
            cell = np.argwhere(open_).astype(float)
            u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            u, v = (u, v) if side == 1 else (v, u)
            middle = cell + 0.5 * side * np.eye(3)[axis]
            square = [middle + a * u + b * v for a, b in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
            first = sum(map(len, points))
            points += square
            n = len(cell)
            corner = first + np.arange(n)[:, None] + n * np.array([[0, 1, 2], [0, 2, 3]])[:, None]
            faces.append(corner.reshape(-1, 3))
    every, index = np.unique(np.round(2 * np.vstack(points)), axis=0, return_inverse=True)
    triangles = index.ravel()[np.vstack(faces)]
    place = every / 2 * step_mm + (x[0], y[0], z[0])
    return Surface(_even(place, triangles), triangles)


def _even(points: Floats, triangles: npt.NDArray[np.int64]) -> Floats:
    """Round off the voxels' corners without shrinking what they bound (Taubin's two steps)."""
    edges = np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    count = np.bincount(edges.ravel(), minlength=len(points))[:, None]
    ends = np.isclose(points[:, 2], points[:, 2].min()) | np.isclose(points[:, 2], points[:, 2].max())
    for factor in (0.5, -0.53) * 10:
        total = np.zeros_like(points)
        np.add.at(total, edges[:, 0], points[edges[:, 1]])
        np.add.at(total, edges[:, 1], points[edges[:, 0]])
        step = factor * (total / np.maximum(count, 1) - points)
        step[ends, 2] = 0.0
        points = points + step
    return points


@cache
def virtual_aneurysm() -> Case:
    """Return a virtual patient with an aneurysm on the side of a straight artery."""
    return _case(8, "aneurysm of a straight artery", aneurysm_surface())


@cache
def virtual_coronary() -> Case:
    """Return a virtual patient with a left coronary tree of two lesions and a cuff's pressure."""
    return _case(6, "left coronary tree", coronary_tree())


@cache
def virtual_renal() -> Case:
    """Return a virtual patient with a renal artery of one lesion and a cuff's pressure."""
    return _case(7, "left renal artery", renal_tree())


def _case(seed: int, what: str, tree: VesselTree | Surface) -> Case:
    who = Patient(f"PHANTOM-{what.replace(' ', '-').upper()}", "CARNA", NAME, BORN, "male", synthetic=True)
    origin = Origin(_uid(f"{what}/tree"), "M3D", what, 1, TIME, "Carna phantom", "phantom")
    vessels = Geometry(origin, tree)
    entries = (
        Entry("Systolic blood pressure", (("LN", "8480-6"),), 128.0, "mm[Hg]", TIME),
        Entry("Diastolic blood pressure", (("LN", "8462-4"),), 77.0, "mm[Hg]", TIME),
        Entry("Heart rate", (("LN", "8867-4"),), 68.0, "/min", TIME),
    )
    said = Origin(_uid(f"{what}/record"), "OT", "record", 2, TIME, "Carna phantom", "phantom")
    record = Record(said, 51.5, "male", 178.0, 81.0, entries)
    parts = (vessels, record)
    study = Study(_uid(f"{what}/study"), who, TIME, f"Virtual {what}", f"V{seed:06}", parts)
    return Case(who, (study,))


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/vessels/{name}').int}"
