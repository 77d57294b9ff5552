"""Maps on a surface: values from points to its vertices, isochrones, early meets late, voltage zones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Surface, VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def interpolate(
    surface: Surface, points_mm: Floats, values: Floats, *, hole_mm: float = 8.0, power: float = 2.0
) -> Floats:
    """Return values on the vertices of a surface from measured points on or near it.

    The eight nearest valid points within ``hole_mm`` are averaged with weights 1 / distance^power
    (Shepard 1968, doi:10.1145/800186.810616). A vertex farther than that from every valid point gets NaN:
    holes stay holes. Distances are straight, so two walls nearer than ``hole_mm`` see each other.

    Parameters
    ----------
    surface : Surface
    points_mm : (m, 3) float
        In the surface's frame.
    values : (m,) float
        NaN where there is none.
    hole_mm : float
        Also called fill threshold; 5-10 mm in practice.
    power : float

    Returns
    -------
    (n,) float
    """
    from scipy.spatial import cKDTree

    valid = np.isfinite(values)
    out = np.full(len(surface.points), np.nan)
    if not valid.any():
        return out
    count = min(8, int(valid.sum()))
    away, nearest = cKDTree(points_mm[valid]).query(surface.points, k=count, distance_upper_bound=hole_mm)
    away, nearest = away.reshape(-1, count), nearest.reshape(-1, count)
    found = np.isfinite(away)
    weights = np.where(found, 1 / np.maximum(away, 1e-6) ** power, 0.0)
    known = np.asarray(values, float)[valid]
    picked = known[np.minimum(nearest, len(known) - 1)]
    some = found.any(axis=1)
    out[some] = (weights * picked)[some].sum(axis=1) / weights[some].sum(axis=1)
    return out


def isochrones(surface: Surface, lat_ms: Floats, levels_ms: npt.ArrayLike) -> tuple[VesselTree, Floats]:
    """Return the lines of equal time, and the time of each of their points.

    Linear in each triangle; triangles with a NaN corner have none.

    Parameters
    ----------
    surface : Surface
    lat_ms : (n,) float
    levels_ms : (l,) float

    Returns
    -------
    VesselTree
        Points and edges of all lines; no radii.
    (p,) float
        Level of each point, ms.
    """
    points, edges, times = [np.zeros((0, 3))], [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    count = 0
    corners = np.asarray(lat_ms, float)[surface.triangles]
    whole = np.isfinite(corners).all(axis=1)
    for level in np.atleast_1d(np.asarray(levels_ms, float)):
        above = corners >= level
        cut = whole & above.any(axis=1) & ~above.all(axis=1)
        triangles, up = surface.triangles[cut], above[cut]
        # The corner that is alone on its side comes first; the line crosses its two edges.
        alone = np.argmax(up == (up.sum(axis=1) == 1)[:, None], axis=1)
        rows = np.arange(len(triangles))
        one = triangles[rows, alone]
        line = []
        for turn in (1, 2):
            other = triangles[rows, (alone + turn) % 3]
            part = (level - lat_ms[one]) / (lat_ms[other] - lat_ms[one])
            line.append(surface.points[one] + part[:, None] * (surface.points[other] - surface.points[one]))
        points.append(np.stack(line, axis=1).reshape(-1, 3))
        edges.append(count + np.arange(2 * len(rows)).reshape(-1, 2))
        times.append(np.full(2 * len(rows), level))
        count += 2 * len(rows)
    return VesselTree(np.concatenate(points), np.concatenate(edges), None, surface.frame), np.concatenate(
        times
    )


def early_meets_late(
    surface: Surface, lat_ms: Floats, cycle_ms: float, *, share: float = 0.3
) -> tuple[VesselTree, float]:
    """Return the edges where the first and the last tissue of a cycle touch, and the share of it mapped.

    In macro re-entry the end of one lap is the beginning of the next; there, neighbouring vertices differ by
    almost a cycle. With the window of interest as long as the cycle, these are edges whose two times lie in
    the first and the last ``share`` / 2 of the times and differ by more than 1 - ``share`` of the range.

    Parameters
    ----------
    surface : Surface
    lat_ms : (n,) float
    cycle_ms : float
        Tachycardia cycle length.
    share : float
        0 to 1.

    Returns
    -------
    VesselTree
        The surface's points and those edges.
    float
        Range of the map over the cycle: above about 0.9, macro re-entry is on the map; well below, the
        source is focal or the circuit lies elsewhere.
    """
    if not 0 < share < 1 or cycle_ms <= 0:
        raise InputError(f"share {share}, cycle {cycle_ms} ms", needed="a share from 0 to 1, a cycle above 0")
    early, late = np.nanmin(lat_ms), np.nanmax(lat_ms)
    edges = _edges(surface)
    ends = np.sort(np.asarray(lat_ms, float)[edges], axis=1)
    span = late - early
    meets = (
        (ends[:, 0] <= early + share / 2 * span)
        & (ends[:, 1] >= late - share / 2 * span)
        & (ends[:, 1] - ends[:, 0] > (1 - share) * span)
    )
    return VesselTree(surface.points, edges[meets], None, surface.frame), float(span / cycle_ms)


def voltage_zones(bipolar_mv: Floats, *, scar_mv: float = 0.5, healthy_mv: float = 1.5) -> Ints:
    """Return 0 where bipolar voltage is below ``scar_mv``, 1 between, 2 from ``healthy_mv`` on, -1 for NaN.

    The default limits are those of the ventricle (Marchlinski 2000, doi:10.1161/01.CIR.101.11.1288); atria
    and small electrodes need others.
    """
    if not 0 < scar_mv < healthy_mv:
        raise InputError(f"limits {scar_mv} and {healthy_mv} mV", needed="0 < scar_mv < healthy_mv")
    zones = np.digitize(np.nan_to_num(bipolar_mv), [scar_mv, healthy_mv])
    return np.asarray(np.where(np.isfinite(bipolar_mv), zones, -1), np.int64)


def zone_areas_mm2(surface: Surface, zones: Ints) -> dict[int, float]:
    """Return the area of each zone, mm2: a third of each triangle to each of its corners."""
    a, b, c = (surface.points[surface.triangles[:, n]] for n in range(3))
    third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    share = np.bincount(surface.triangles.ravel(), np.repeat(third, 3), len(surface.points))
    return {int(zone): float(share[zones == zone].sum()) for zone in np.unique(zones)}


def _edges(surface: Surface) -> Ints:
    pairs = surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    return np.asarray(np.unique(np.sort(pairs, axis=1), axis=0))
