"""Conduction velocity from local activation times: where to, how fast, and where fronts part or meet.

Velocity is grad T / |grad T|^2. The gradient comes from one of three fits, each with its own failure:

``triangle``    exact in each triangle for linear T; noise goes in undamped, small triangles worst
``polynomial``  a plane or quadric through all points within a radius, in the tangent plane (Bayly 1998,
                doi:10.1109/10.668746); smooths over block and collision
``rbf``         thin-plate splines through the same points; follows more detail than a quadric

Where fronts collide, start or are blocked, grad T tends to 0 or jumps, and |v| means nothing: velocities
above ``fastest`` are NaN; divergence tells starts (> 0) from collisions (< 0), curl rotation and bad fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress
from carna.space import Surface

Floats = npt.NDArray[np.float64]

METHODS = ("polynomial", "triangle", "rbf")


@dataclass(frozen=True, slots=True, eq=False)
class Velocity:
    """Conduction velocity on the vertices of a surface.

    Attributes
    ----------
    vector_m_s : (n, 3) float
        m/s, tangent to the surface, in its frame; NaN where there is none.
    speed_m_s : (n,) float
    divergence, curl : (n,) float
        Of the direction (unit vectors), 1/mm; the curl about the outward normal.
    residual_ms : (n,) float
        Root mean square misfit of the times around each vertex; NaN for ``triangle``.
    method : str
    """

    vector_m_s: Floats
    speed_m_s: Floats
    divergence: Floats
    curl: Floats
    residual_ms: Floats
    method: str


def conduction_velocity(
    surface: Surface,
    lat_ms: Floats,
    *,
    method: str = "polynomial",
    radius_mm: float = 6.0,
    fastest_m_s: float = 4.0,
    progress: Progress = SILENT,
) -> Velocity:
    """Return conduction velocity vectors on the vertices of a surface.

    Parameters
    ----------
    surface : Surface
    lat_ms : (n,) float
        NaN where there is none; these vertices have no velocity and take no part.
    method : str
        ``polynomial``, ``triangle`` or ``rbf``: see the first page.
    radius_mm : float
        How far the fit looks (not for ``triangle``).
    fastest_m_s : float
        Above this there is no velocity.

    Returns
    -------
    Velocity
    """
    lat = np.asarray(lat_ms, float)
    if method not in METHODS:
        raise InputError(f"the method {method!r}", needed=f"one of {', '.join(METHODS)}")
    if lat.shape != (len(surface.points),):
        raise InputError(f"{lat.shape} times", needed=f"one for each of {len(surface.points)} points")
    normals = vertex_normals(surface)
    if method == "triangle":
        slope, residual = _vertex_mean(surface, triangle_gradient(surface, lat)), np.full(len(lat), np.nan)
        slope[~np.isfinite(lat)] = np.nan
    else:
        slope, residual = _fits(surface, lat, normals, radius_mm, method == "rbf", progress)
    slope -= np.einsum("ni,ni->n", slope, normals)[:, None] * normals
    steep = np.einsum("ni,ni->n", slope, slope)
    with np.errstate(invalid="ignore", divide="ignore"):
        vector = slope / steep[:, None]
        speed = 1 / np.sqrt(steep)
        vector[~(speed <= fastest_m_s)] = np.nan
        speed[~(speed <= fastest_m_s)] = np.nan
        direction = vector / speed[:, None]
    divergence, curl = _divergence_curl(surface, direction, normals)
    return Velocity(vector, speed, divergence, curl, residual, method)


def vertex_normals(surface: Surface) -> Floats:
    """Return the unit normals (n, 3) of the vertices, weighted by area; 0 for a vertex of no triangle."""
    a, b, c = (surface.points[surface.triangles[:, n]] for n in range(3))
    out = np.zeros_like(surface.points)
    for n in range(3):
        np.add.at(out, surface.triangles[:, n], np.cross(b - a, c - a))
    size = np.linalg.norm(out, axis=1, keepdims=True)
    return np.asarray(out / np.where(size > 0, size, 1.0))


def triangle_gradient(surface: Surface, values: Floats) -> Floats:
    """Return the gradient (m, 3) of values linear in each triangle, per mm; NaN with a NaN corner."""
    a, b, c = (surface.points[surface.triangles[:, n]] for n in range(3))
    normal = np.cross(b - a, c - a)
    square = np.einsum("ni,ni->n", normal, normal)[:, None]
    va, vb, vc = (values[surface.triangles[:, n]][:, None] for n in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        total = va * np.cross(normal, c - b) + vb * np.cross(normal, a - c) + vc * np.cross(normal, b - a)
        return np.asarray(np.where(square > 1e-12, total / square, np.nan))


def _vertex_mean(surface: Surface, values: Floats) -> Floats:
    """Return the mean over the triangles at each vertex, weighted by area, of those that have a value."""
    a, b, c = (surface.points[surface.triangles[:, n]] for n in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    good = np.isfinite(values).all(axis=1)
    total, weight = np.zeros((len(surface.points), values.shape[1])), np.zeros(len(surface.points))
    for n in range(3):
        np.add.at(total, surface.triangles[good, n], values[good] * area[good, None])
        np.add.at(weight, surface.triangles[good, n], area[good])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(weight[:, None] > 0, total / weight[:, None], np.nan))


def _fits(
    surface: Surface, lat: Floats, normals: Floats, radius_mm: float, rbf: bool, progress: Progress
) -> tuple[Floats, Floats]:
    """Return the gradient (n, 3) and the misfit (n,) of a fit around each vertex."""
    from scipy.spatial import cKDTree

    valid = np.flatnonzero(np.isfinite(lat))
    slope, residual = np.full((len(lat), 3), np.nan), np.full(len(lat), np.nan)
    if len(valid) < 6:
        return slope, residual
    around = cKDTree(surface.points[valid]).query_ball_point(surface.points[valid], radius_mm)
    for count, (vertex, chosen) in enumerate(zip(valid, around, strict=True)):
        if count % 500 == 0:
            progress(count / len(valid), "conduction velocity")
        near = valid[chosen]
        # The far wall of a thin fold looks the other way.
        near = near[normals[near] @ normals[vertex] > 0.3]
        if len(near) < 6:
            continue
        e1, e2 = _tangents(normals[vertex])
        away = surface.points[near] - surface.points[vertex]
        x, y = away @ e1, away @ e2
        weights = np.exp(-0.5 * (np.hypot(x, y) / (radius_mm / 2)) ** 2)
        fit = _spline if rbf else _quadric
        found = fit(x, y, lat[near], weights)
        if found is not None:
            slope[vertex] = found[0] * e1 + found[1] * e2
            residual[vertex] = found[2]
    return slope, residual


def _quadric(x: Floats, y: Floats, t: Floats, weights: Floats) -> tuple[float, float, float] | None:
    """Return dT/dx, dT/dy at the origin and the weighted misfit of a quadric (a plane below 10 points)."""
    columns = [np.ones_like(x), x, y]
    if len(x) >= 10:
        columns += [x * x, x * y, y * y]
    design = np.stack(columns, axis=1)
    root = np.sqrt(weights)
    solution, _, rank, _ = np.linalg.lstsq(design * root[:, None], t * root, rcond=1e-8)
    if rank < design.shape[1]:
        return None
    misfit = np.sqrt(np.average((design @ solution - t) ** 2, weights=weights))
    return float(solution[1]), float(solution[2]), float(misfit)


def _spline(x: Floats, y: Floats, t: Floats, weights: Floats) -> tuple[float, float, float] | None:
    """Return dT/dx, dT/dy at the origin and the misfit of a smoothed thin-plate spline."""
    from scipy.linalg import LinAlgError, solve

    pick = np.argsort(-weights)[:40]
    x, y, t = x[pick], y[pick], t[pick]
    square = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    kernel = 0.5 * square * np.log(np.maximum(square, 1e-12))
    n = len(x)
    system = np.zeros((n + 3, n + 3))
    scale = max(float(np.abs(kernel).mean()), 1e-9)
    system[:n, :n] = kernel + 0.1 * scale * np.eye(n)
    system[:n, n:] = np.stack([np.ones(n), x, y], axis=1)
    system[n:, :n] = system[:n, n:].T
    try:
        solution = solve(system, np.concatenate([t, np.zeros(3)]))
    except LinAlgError:
        return None
    own = x**2 + y**2
    pull = solution[:n] * (np.log(np.maximum(own, 1e-12)) + 1)
    misfit = np.sqrt(np.mean((0.1 * scale * solution[:n]) ** 2))
    return float(solution[n + 1] - pull @ x), float(solution[n + 2] - pull @ y), float(misfit)


def _tangents(normal: Floats) -> tuple[Floats, Floats]:
    axis = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = np.cross(normal, axis)
    first /= np.linalg.norm(first)
    return first, np.cross(normal, first)


def _divergence_curl(surface: Surface, direction: Floats, normals: Floats) -> tuple[Floats, Floats]:
    """Return div and curl (about the normal) of a tangent field on the vertices, 1/mm."""
    slopes = np.stack([triangle_gradient(surface, direction[:, n]) for n in range(3)], axis=1)
    divergence = np.trace(slopes, axis1=1, axis2=2)
    rotation = np.stack(
        [
            slopes[:, 2, 1] - slopes[:, 1, 2],
            slopes[:, 0, 2] - slopes[:, 2, 0],
            slopes[:, 1, 0] - slopes[:, 0, 1],
        ],
        axis=1,
    )
    both = _vertex_mean(surface, np.column_stack([divergence, rotation]))
    return both[:, 0], np.asarray(np.einsum("ni,ni->n", both[:, 1:], normals))
