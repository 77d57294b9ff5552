"""A vessel tree from a surface: openings are capped, the inside is filled with voxels, the rest is `labels`.

Radii are those of equal area, a little larger than the inscribed spheres that other programs state where a
vessel isn't round. An opening that is cut at a slant to its vessel is reported with the angle.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.geometry.labels import Traced, tree_from_labels
from carna.space import Grid, Surface

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A shift of the grid by no round number, so that no column meets a vertex.
_OFF: Final = np.array([0.1234567, 0.2345678, 0.3456789])


def openings(surface: Surface) -> tuple[Ints, ...]:
    """Return the rims of a surface's openings, each as points in order."""
    t = surface.triangles
    directed = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    pair = np.sort(directed, axis=1)
    _, inverse, count = np.unique(pair, axis=0, return_inverse=True, return_counts=True)
    rim = directed[count[inverse.ravel()] == 1]
    after = {int(a): int(b) for a, b in rim}
    found = []
    while after:
        start, way = next(iter(after)), []
        at = start
        while at in after:
            way.append(at)
            at = after.pop(at)
        if len(way) > 2:
            found.append(np.array(way))
    return tuple(found)


def fill(surface: Surface, spacing_mm: float) -> tuple[npt.NDArray[np.bool_], Grid]:
    """Return the voxels (cubes of ``spacing_mm``) inside a surface; openings are closed by fans."""
    from carna.flow.geometry.surface_kernel import crossings

    points, triangles = merged(surface)
    closed = Surface(points, triangles)
    caps: list[Ints] = []
    extra: list[Floats] = []
    for rim in openings(closed):
        centre = len(points) + len(extra)
        extra.append(points[rim].mean(0))
        caps.append(np.stack([np.roll(rim, -1), rim, np.full(len(rim), centre)], 1))
    if caps:
        points, triangles = np.vstack([points, *[e[None] for e in extra]]), np.vstack([triangles, *caps])
    low = points.min(0) - 3 * spacing_mm + _OFF * spacing_mm
    size = np.ceil((points.max(0) - low) / spacing_mm).astype(int) + 4
    if float(np.prod(size.astype(float))) > 2e8:
        raise InputError(
            f"a surface of {' x '.join(f'{n}' for n in size)} voxels at {spacing_mm:g} mm",
            needed="at most 200 million",
            fix="take a larger spacing",
        )
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3], affine[3, 3] = low, 1
    grid = Grid((int(size[2]), int(size[1]), int(size[0])), affine, surface.frame)
    count = crossings(grid.to_index(points[triangles]), grid.shape)
    return np.asarray(np.cumsum(count, axis=0) % 2 == 1), grid


def tree_from_surface(surface: Surface, *, spacing_mm: float | None = None) -> Traced:
    """Return the centre lines and radii of a vessel's surface, closed or with openings.

    Parameters
    ----------
    surface : Surface
    spacing_mm : float, optional
        Of the voxels that fill it; by default the surface's typical diameter (4 volume / area) over 10.
    """
    if spacing_mm is None:
        points, triangles = merged(surface)
        whole = Surface(points - points.mean(0), triangles)
        # Openings are small beside the wall: the volume is off by little.
        spacing_mm = max(4000 * abs(whole.volume_ml) / max(whole.area_mm2, 1e-9) / 10, 0.05)
    inside, grid = fill(surface, spacing_mm)
    if not inside.any():
        raise InputError("a surface that encloses nothing", needed="a tube, closed or open at its ends")
    return tree_from_labels(inside, grid)


def merged(surface: Surface) -> tuple[Floats, Ints]:
    """Merge points that coincide, as each triangle of an STL brings its own."""
    size = float(np.ptp(surface.points, axis=0).max())
    key = np.round(surface.points / max(size * 1e-6, 1e-9)).astype(np.int64)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    triangles = inverse.ravel()[surface.triangles]
    real = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2])
    real &= triangles[:, 0] != triangles[:, 2]
    return np.asarray(surface.points[first]), np.asarray(triangles[real])
