"""Arrival times on a triangulated surface: the eikonal equation by Hopf and Lax.

A vertex is reached through the edge opposite to it in one of its triangles, at the time

    T(x) = min over t in [0, 1] of (1 - t) T(p) + t T(q) + |x - p - t (q - p)|_M,   M = D^-1,

which has a closed form. The smallest solution of all these equations together is found by letting a vertex
look again whenever a neighbour became earlier; no triangle has to be acute (Bornemann and Rasch 2006,
doi:10.1007/s00791-006-0016-y). First order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Surface

Floats = npt.NDArray[np.float64]


def surface_times(
    surface: Surface,
    sources: npt.ArrayLike,
    velocity: npt.ArrayLike,
    start_ms: npt.ArrayLike = 0.0,
    *,
    fibres: Floats | None = None,
    exact_mm: float | None = None,
) -> Floats:
    """Return when the excitation first reaches every point of a surface.

    Parameters
    ----------
    surface : Surface
    sources : (s,) int
        Points that start by themselves.
    velocity : float, (2,), (m,) or (m, 2)
        m/s: one number isotropic; two, along and across the fibre; or that for each of m triangles.
    start_ms : float or (s,)
    fibres : (m, 3), optional
        Unit vector in each triangle's plane; needed for two velocities.
    exact_mm : float, optional
        Around each source, the straight distance is taken up to this radius; default two mean edges.

    Returns
    -------
    (n,) float
        ms; infinity where nothing arrives.
    """
    from carna.ep.eikonal.surface_march import surface_march

    points, triangles = surface.points, surface.triangles
    at = np.atleast_1d(np.asarray(sources, np.int64))
    if not at.size or at.min() < 0 or at.max() >= len(points):
        raise InputError(f"sources {at.tolist()}", needed=f"points from 0 to {len(points) - 1}")
    metric = _metric(surface, velocity, fibres)
    edges = np.linalg.norm(points[triangles] - points[np.roll(triangles, 1, axis=1)], axis=2)
    radius = 2 * float(edges.mean()) if exact_mm is None else exact_mm
    corner = np.argsort(triangles.ravel(), kind="stable")
    first = np.searchsorted(triangles.ravel()[corner], np.arange(len(points) + 1))
    u = np.full(len(points), np.inf)
    times = np.broadcast_to(np.asarray(start_ms, float), at.shape)
    for source, time in zip(at, times, strict=True):
        reach = np.flatnonzero(np.linalg.norm(points - points[source], axis=1) <= radius)
        reach = reach[_connected(triangles, reach, int(source), len(points))]
        away = points[reach] - points[source]
        own = metric[corner[first[source] : first[source + 1]] // 3].mean(axis=0)
        near = np.sqrt(np.einsum("ni,ij,nj->n", away, own, away))
        u[reach] = np.minimum(u[reach], time + near)
    surface_march(u, points, np.ascontiguousarray(triangles), metric, first, corner)
    return u


def _connected(
    triangles: npt.NDArray[Any], chosen: npt.NDArray[Any], source: int, n: int
) -> npt.NDArray[Any]:
    """Tell which of the chosen points hang together with the source: not the far side of a thin fold."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    inside = np.zeros(n, bool)
    inside[chosen] = True
    pairs = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    pairs = pairs[inside[pairs].all(axis=1)]
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    return np.asarray(part[chosen] == part[source])


def _metric(surface: Surface, velocity: npt.ArrayLike, fibres: Floats | None) -> Floats:
    m = len(surface.triangles)
    speed = np.asarray(velocity, float)
    if fibres is None:
        if speed.shape not in ((), (m,)):
            raise InputError(
                f"velocity of shape {speed.shape}", needed=f"one number or ({m},) without fibres"
            )
        speed = np.broadcast_to(speed[..., None], (m, 2))
    else:
        if np.shape(fibres) != (m, 3) or speed.shape not in ((2,), (m, 2)):
            raise InputError(
                f"fibres {np.shape(fibres)}, velocity {speed.shape}", needed=f"({m}, 3) and (2,) or ({m}, 2)"
            )
        speed = np.broadcast_to(speed, (m, 2))
    if not ((speed > 0) & (speed <= 10)).all():
        raise InputError(f"velocities from {speed.min():.3g}", needed="above 0 and at most 10 m/s (mm/ms)")
    slow = 1 / speed**2
    metric = slow[:, 1, None, None] * np.eye(3)
    if fibres is not None:
        metric = metric + (slow[:, 0] - slow[:, 1])[:, None, None] * np.einsum("ni,nj->nij", fibres, fibres)
    return np.ascontiguousarray(metric)
