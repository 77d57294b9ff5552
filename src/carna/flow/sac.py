"""An aneurysm from its surface: which part of it is sac, and how large the sac and its neck are.

The artery that carries the sac is what would be there without it: ways from the inlet to every outlet that
gain nothing by the depth of the sac, with the artery's radii where it is healthy and radii between those
where it is wider by more than a fifth. What lies outside these tubes, in one piece, is the sac. Where the
tubes stop is a choice; it is made three times, with tubes 8 % narrower, as they are, and 8 % wider, and the
sizes are given with that range.

All is done on voxels in a frame of the vessel's own (the inlet, its axis, the way to the farthest opening),
so that turning the patient turns nothing but the result. Poor for: an inlet or outlet that is itself widened,
a sac that fills the whole fork, several sacs (the largest is taken).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.geometry.labels import links, smoothed
from carna.flow.geometry.surface import fill, merged, openings
from carna.flow.network import arclength
from carna.progress import SILENT, Progress
from carna.space import Grid, Surface

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WIDENS: Final = 1.2  # of the artery's own radius: from here on it is bridged
RANGE: Final = (0.92, 1.0, 1.08)  # of the bridging tubes' radii
INLET_MM, EXTENT_MM = (0.8, 8.0), (6.0, 150.0)  # diameter at the inlet, largest side of the box
SLACK: Final = 0.15  # of the inlet's radius: what lies no farther out belongs to the artery
DOMED: Final = 0.5  # volume over neck area to the power of 3/2: a half ball has 0.38
SMALLEST: Final = 0.5  # a sac has at least the volume of a ball of this many inlet radii


@final
@dataclass(frozen=True, slots=True)
class Rim:
    """An opening: its centre, the direction out of the blood and its radius, mm."""

    centre_mm: tuple[float, float, float]
    outward: tuple[float, float, float]
    radius_mm: float


@final
@dataclass(frozen=True, slots=True)
class Size:
    """How large a sac is, for one choice of the artery that carries it.

    Attributes
    ----------
    volume_mm3, neck_mm2, height_mm : float
        Volume, area of the neck (projected on its own plane), farthest point from the middle of the neck.
    """

    volume_mm3: float
    neck_mm2: float
    height_mm: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sac:
    """A sac and the artery that carries it, in the vessel's own frame.

    Attributes
    ----------
    inside : (k, r, c) bool
        Voxels in blood.
    grid : Grid
    motion : (4, 4) float
        From the patient's frame to the vessel's own.
    rims : tuple of Rim
        Inlet first.
    sac : (k, r, c) bool
    beyond_mm : (k, r, c) float
        Distance to the artery's wall, negative in it; only where there is blood.
    size : Size
    least, most : Size
        The smallest and largest of each over the choices of the tubes.
    """

    inside: Mask
    grid: Grid
    motion: Floats
    rims: tuple[Rim, ...]
    sac: Mask
    beyond_mm: Floats
    size: Size
    least: Size
    most: Size


def find_sac(surface: Surface, *, cells: float = 8.0, progress: Progress = SILENT) -> Sac:
    """Return the sac of an aneurysm whose artery is open at its ends.

    Parameters
    ----------
    surface : Surface
        Of the lumen, mm, with an inlet (the widest opening) and one outlet at least.
    cells : float, 5 to 16
        Voxels along the inlet's radius.
    progress : Progress

    Raises
    ------
    InputError
        Fewer than two openings, an opening that no blood reaches, an artery widened all along, or no sac.
    """
    if not 5 <= cells <= 16:
        raise InputError(f"{cells:g} voxels along the inlet's radius", needed="5 to 16")
    whole = Surface(*merged(surface))
    rims, motion = _frame(whole)
    _check_size(rims[0], float(np.ptp(whole.points, axis=0).max()))
    spacing = rims[0].radius_mm / cells
    # Rounded, so that no voxel hangs on the last digit of a turned coordinate.
    inside, grid = fill(Surface(np.round(whole.moved(motion).points, 6), whole.triangles), round(spacing, 4))
    progress(0.3, "centre lines")
    routes = _routes(inside, grid, rims)
    found: list[tuple[Mask, Floats, Size]] = []
    for n, factor in enumerate(RANGE):
        progress(0.5 + 0.15 * n, "sac")
        found.append(_apart(inside, grid, [(p, r * factor) for p, r in routes], rims[0].radius_mm))
    sizes = [s for _, _, s in found]
    mask, beyond, size = found[1]
    progress(1.0, "sac")
    return Sac(inside, grid, motion, rims, mask, beyond, size, _extreme(min, sizes), _extreme(max, sizes))


def _check_size(inlet: Rim, extent: float) -> None:
    """Refuse what has not the size of an artery with an aneurysm in millimetres."""
    wide = 2 * inlet.radius_mm
    if not (INLET_MM[0] <= wide <= INLET_MM[1] and EXTENT_MM[0] <= extent <= EXTENT_MM[1]):
        raise InputError(
            f"an inlet {wide:.3g} wide and an extent of {extent:.3g}",
            needed=f"millimetres: inlet {INLET_MM[0]:g} to {INLET_MM[1]:g}, "
            f"extent {EXTENT_MM[0]:g} to {EXTENT_MM[1]:g}",
            fix="convert the surface to millimetres",
        )


def _extreme(pick: Callable[..., float], sizes: list[Size]) -> Size:
    return Size(
        pick(s.volume_mm3 for s in sizes), pick(s.neck_mm2 for s in sizes), pick(s.height_mm for s in sizes)
    )


def _frame(surface: Surface) -> tuple[tuple[Rim, ...], Floats]:
    """Return the openings in the vessel's own frame, widest first, and the motion to it."""
    loops = openings(surface)
    if len(loops) < 2:
        raise InputError(
            f"a surface with {len(loops)} openings",
            needed="an inlet and an outlet, cut open",
            fix="cut the artery open at its ends, across its axis",
        )
    raw = []
    for loop in loops:
        p = surface.points[loop]
        centre = p.mean(0)
        area = 0.5 * np.cross(p - centre, np.roll(p, -1, axis=0) - centre).sum(0)
        # Rims run against their triangles: out of the blood for a surface wound outwards.
        raw.append((centre, area / np.linalg.norm(area), float(np.sqrt(np.linalg.norm(area) / np.pi))))
    middle = surface.points.mean(0)
    sign = 1.0 if sum(float((c - middle) @ n) for c, n, _ in raw) > 0 else -1.0
    raw = sorted(((c, sign * n, r) for c, n, r in raw), key=lambda x: -x[2])
    first, inward, _ = raw[0]
    z = -inward
    far = max((c - first for c, _, _ in raw[1:]), key=lambda d: float(np.linalg.norm(d - (d @ z) * z)))
    x = far - (far @ z) * z
    if np.linalg.norm(x) < 1e-6:
        x = np.cross(z, np.eye(3)[int(np.argmin(np.abs(z)))])
    x = x / np.linalg.norm(x)
    motion = np.eye(4)
    motion[:3, :3] = np.stack([x, np.cross(z, x), z])
    motion[:3, 3] = -motion[:3, :3] @ first
    turn = motion[:3, :3]

    def rim(centre: Floats, out: Floats, radius: float) -> Rim:
        c, o = turn @ centre + motion[:3, 3], turn @ out
        return Rim((float(c[0]), float(c[1]), float(c[2])), (float(o[0]), float(o[1]), float(o[2])), radius)

    return tuple(rim(*one) for one in raw), motion


def _routes(inside: Mask, grid: Grid, rims: tuple[Rim, ...]) -> list[tuple[Floats, Floats]]:
    """Return the artery without its sac: points and radii from the inlet to each outlet."""
    from scipy.ndimage import distance_transform_edt
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    place = grid.to_world(np.argwhere(inside))
    depth = np.asarray(distance_transform_edt(inside))[inside] * grid.spacing_mm[0]
    here, there, length = links(inside, grid)
    start = int(np.argmin(np.linalg.norm(place - np.array(rims[0].centre_mm), axis=1)))
    found = []
    for rim in rims[1:]:
        # No deeper than the artery counts: a way through the middle of the sac is no shorter.
        least = 0.9 * min(rim.radius_mm, rims[0].radius_mm)
        inner = np.minimum(depth, least)
        cost = length * (inner[here] * inner[there]) ** -1.5
        ways = coo_matrix((cost, (here, there)), (len(place),) * 2).tocsr()
        far, before = dijkstra(ways, directed=False, indices=start, return_predecessors=True)
        line = [int(np.argmin(np.linalg.norm(place - np.array(rim.centre_mm), axis=1)))]
        if not np.isfinite(far[line[0]]):
            where = ", ".join(f"{x:.0f}" for x in rim.centre_mm)
            raise InputError(
                f"no way through the blood to the opening at ({where}) mm", needed="an artery in one piece"
            )
        while line[-1] != start:
            line.append(int(before[line[-1]]))
        at = np.array(line[::-1])
        found.append(_carried(place[at], depth[at], rims[0], rim))
    return found


def _carried(points: Floats, depth: Floats, inlet: Rim, outlet: Rim) -> tuple[Floats, Floats]:
    """Smooth a way and give it the artery's radii: measured where it is healthy, bridged where it widens."""
    points = smoothed(points, inlet.radius_mm)
    along = arclength(points)
    own = np.interp(along, [0, along[-1]], [inlet.radius_mm, outlet.radius_mm])
    # Depth near an opening is that to its face.
    inner = (along > own) & (along < along[-1] - own)
    healthy = inner & (depth < WIDENS * own)
    if healthy.sum() < 4:
        raise InputError(
            "an artery that is widened all along",
            needed=f"a healthy stretch of {2 * inlet.radius_mm:.1f} mm on either side of the sac",
        )
    known = np.concatenate(([0.0], along[healthy], [along[-1]]))
    wide = np.concatenate(([inlet.radius_mm], np.maximum(depth[healthy], 0.8 * own[healthy])))
    radius = np.interp(along, known, np.concatenate((wide, [outlet.radius_mm])))
    before, after = (np.array(x.centre_mm) + x.radius_mm * np.array(x.outward) for x in (inlet, outlet))
    return np.vstack([before, points, after]), np.concatenate(([inlet.radius_mm], radius, [outlet.radius_mm]))


def _apart(
    inside: Mask, grid: Grid, routes: list[tuple[Floats, Floats]], inlet_mm: float
) -> tuple[Mask, Floats, Size]:
    """Return the voxels of the sac, every voxel's distance to the artery's wall, and the sac's size."""
    from scipy.ndimage import binary_dilation, binary_erosion, label

    from carna.flow.lattice.shape import tube

    place = grid.to_world(np.argwhere(inside))
    far = np.min([tube(p, r).distance(place) for p, r in routes], axis=0)
    beyond = np.full(inside.shape, -1.0)
    beyond[inside] = far
    out = inside & (beyond > SLACK * inlet_mm)
    parts, count = label(binary_erosion(out))
    voxel = grid.spacing_mm[0] ** 3
    if count:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        core = parts == int(np.argmax(sizes))
        # What was eroded comes back, thin slivers along the artery don't.
        sac = binary_dilation(core, iterations=2) & out
        volume = float(sac.sum()) * voxel
    if not count or volume < 4 / 3 * np.pi * (SMALLEST * inlet_mm) ** 3:
        raise InputError(
            "no sac beside the artery",
            needed=f"one of at least {4 / 3 * np.pi * (SMALLEST * inlet_mm) ** 3:.1f} mm3",
        )
    rest = inside & ~sac
    net, middle, faces = np.zeros(3), np.zeros(3), 0
    for axis in range(3):
        for step in (1, -1):
            meet = sac & np.roll(rest, step, axis)
            net[axis] += step * float(meet.sum())
            middle += np.argwhere(meet).sum(0)
            faces += int(meet.sum())
    neck = float(np.linalg.norm(net)) * grid.spacing_mm[0] ** 2
    if volume < DOMED * neck**1.5:
        raise InputError(
            f"a bulge of {volume:.1f} mm3 on {neck:.1f} mm2 of the artery's wall",
            needed="a sac with a neck",
            fix="a widened artery or a fork is no sac",
        )
    centre = grid.to_world((middle / max(faces, 1))[None])[0]
    height = float(np.linalg.norm(grid.to_world(np.argwhere(sac)) - centre, axis=1).max())
    return sac, beyond, Size(volume, neck, height)
