"""A vessel tree from a labelled volume: centre lines by shortest ways along the ridge, radii by rays.

1. Distance of each voxel to the outside, mm, whatever the voxel's shape. Ways through voxels that are deep
   inside cost less, so the shortest way from the root to a far voxel runs along the middle (Sato et al. 2000,
   doi:10.1109/PCCGA.2000.883951). The farthest voxel that no way passes near gets the next way, until none
   is left: a tree by construction, without spurs.
2. In a plane across the line, rays meet the wall where the labels, blurred by less than a voxel, fall to one
   half. Their mean place recentres the line, their mean square gives the radius of equal area. A ray that
   runs out through a branch is cut at 1.3 of the median.

Measured on virtual tubes of 2 voxels' radius and more: radius within a tenth of a voxel (tests). What is
thinner than 1.5 voxels in radius is not measured but guessed. A hole or a ring in the labels is reported: a
tree has none, so a ring is cut where its two ways meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.geometry.centrelines import clean
from carna.space import Grid, VesselTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLUR: Final = 0.7  # voxels
RAYS: Final = 32
CLIP: Final = 1.3
RIDGE: Final = 3.0  # cost of a way falls with depth to this power
SLANT_DEG: Final = 20.0
MOST_VOXELS: Final = 6_000_000


@final
@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A tree read from an image.

    Attributes
    ----------
    tree : VesselTree
    notes : tuple of str
        What was left out, cut, or is thinner than can be measured.
    thin : float, 0 to 1
        Share of the tree that is thinner than 1.5 voxels in radius: guessed, not measured.
    """

    tree: VesselTree
    notes: tuple[str, ...]
    thin: float = 0.0


def tree_from_labels(labels: npt.NDArray[np.generic], grid: Grid, *, least_mm: float = 5.0) -> Traced:
    """Return the tree of the largest connected region of a labelled volume.

    Parameters
    ----------
    labels : (k, r, c) bool or int
        True or above 0 in blood.
    grid : Grid
        Its place in the patient.
    least_mm : float
        Branches that leave the lumen they come from by less are dropped.

    Raises
    ------
    InputError
        If the region is empty, too small or larger than six million voxels.
    """
    mask = np.asarray(labels) > 0
    if mask.shape != grid.shape:
        raise InputError(f"labels of shape {mask.shape} on a grid of {grid.shape}", needed="one shape")
    mask, grid, notes = _largest(mask, grid)
    spacing = np.array(grid.spacing_mm)
    depth = _depth(mask, spacing)
    tunnels = _tunnels(mask)
    if tunnels > 0:
        notes.append(
            f"the labels have {tunnels} tunnels: vessels that touch, or a ring, cut where its ways meet"
        )
    lines = _ways(mask, depth, grid, least_mm)
    if not lines:
        raise InputError("a region without a length", needed=f"a vessel longer than {least_mm:g} mm")
    field = _field(mask)
    fine = float(spacing.min())
    points, edges, radius = list[Floats](), list[tuple[int, int]](), list[float]()
    for line, parent in lines:
        _add(line, parent, grid, field, fine, points, edges, radius, depth, notes)
    thin = float(np.mean(np.array(radius) < 1.5 * spacing.max()))
    if thin > 0.05:
        notes.append(f"{thin:.0%} of the tree is thinner than 1.5 voxels in radius: its radii are rough")
    tree = VesselTree(np.array(points), np.array(edges), np.array(radius), grid.frame)
    cleaned = clean(tree)
    return Traced(cleaned.tree, (*notes, *cleaned.notes), thin)


def _largest(mask: Bools, grid: Grid) -> tuple[Bools, Grid, list[str]]:
    from scipy.ndimage import find_objects, label

    parts, count = label(mask, np.ones((3, 3, 3)))
    if not count:
        raise InputError("labels without a voxel in blood", needed="one vessel at least")
    sizes = np.bincount(parts.ravel())[1:]
    best = int(np.argmax(sizes))
    if sizes[best] < 50 or sizes[best] > MOST_VOXELS:
        raise InputError(
            f"a region of {sizes[best]:,} voxels",
            needed=f"50 to {MOST_VOXELS:,}",
            fix="resample the labels to a tenth of the vessel's diameter or so",
        )
    notes = []
    if sizes.sum() - sizes[best] > 0.02 * sizes[best]:
        notes.append(
            f"{count - 1} separate regions left out, {1 - sizes[best] / sizes.sum():.0%} of the voxels"
        )
    box = find_objects(parts)[best]
    start = tuple(int(s.start) - 3 for s in box)
    cut = np.pad(parts[box] == best + 1, 3)
    return cut, grid.crop(start, tuple(a + n for a, n in zip(start, cut.shape, strict=True))), notes  # type: ignore[arg-type]


def _depth(mask: Bools, spacing: Floats) -> Floats:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(mask, sampling=spacing))


def _tunnels(mask: Bools) -> int:
    """Count tunnels: one minus the Euler number of the voxels as closed cubes (cavities are filled first)."""
    from scipy.ndimage import binary_fill_holes

    solid = np.pad(binary_fill_holes(mask), 1)

    def any_of(a: Bools, axis: int) -> Bools:
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        return np.asarray(a[tuple(low)] | a[tuple(high)])

    euler = -int(solid.sum())
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        part = solid
        for axis in axes:
            part = any_of(part, axis)
        euler += int(part.sum()) * (1, -1, 1)[len(axes) - 1]
    return 1 - euler


def _ways(mask: Bools, depth: Floats, grid: Grid, least_mm: float) -> list[tuple[Floats, bool]]:
    """Return lines of LPS points, each from where it leaves the tree, and whether it is a branch."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    voxels = np.argwhere(mask)
    inner = depth[mask]
    here, there, length = links(mask, grid)
    cost = length * (inner[here] * inner[there]) ** (-RIDGE / 2)
    shape = (len(voxels),) * 2
    plain = coo_matrix((length, (here, there)), shape).tocsr()
    ridge = coo_matrix((cost, (here, there)), shape).tocsr()
    far = dijkstra(plain, directed=False, indices=0)
    root = int(np.argmax(np.where(np.isfinite(far), far, -1)))
    far = dijkstra(plain, directed=False, indices=root)
    _, before = dijkstra(ridge, directed=False, indices=root, return_predecessors=True)
    places = grid.to_world(voxels)
    left = np.isfinite(far)
    taken = np.zeros(len(voxels), bool)
    fine = float(min(grid.spacing_mm))
    found: list[tuple[Floats, bool]] = []
    while left.any():
        tip = int(np.argmax(np.where(left, far, -1)))
        line = [tip]
        while not taken[line[-1]] and line[-1] != root:
            line.append(int(before[line[-1]]))
        way = np.array(line[::-1])
        way_mm = float(far[tip] - far[way[0]])
        _cover(left, places, way, 1.4 * inner[way] + 2 * fine)
        left[tip] = False
        if found and way_mm < least_mm + 1.5 * inner[way[0]]:
            continue
        taken[way] = True
        found.append((places[way], len(found) > 0))
    return found


def links(mask: Bools, grid: Grid) -> tuple[Ints, Ints, Floats]:
    """Return each pair of voxels that touch, numbered as `numpy.argwhere` does, and its length, mm.

    The mask must be empty at its borders.
    """
    voxels = np.argwhere(mask)
    number = np.full(mask.shape, -1, np.int64)
    number[mask] = np.arange(len(voxels))
    rows, columns, length = [], [], []
    for step in _HALF:
        other = number[tuple((voxels + step).T)]
        here = np.flatnonzero(other >= 0)
        rows.append(here)
        columns.append(other[here])
        length.append(np.full(len(here), float(np.linalg.norm(grid.affine[:3, :3] @ step))))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(length)


def _cover(left: Bools, places: Floats, way: Ints, reach: Floats) -> None:
    """Strike out the voxels near a way."""
    from scipy.spatial import cKDTree

    open_ = np.flatnonzero(left)
    off, nearest = cKDTree(places[way]).query(places[open_])
    left[open_[off < reach[nearest]]] = False


_HALF: Final = [
    np.array((a, b, c)) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if (a, b, c) > (0, 0, 0)
]


def _field(mask: Bools) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(mask.astype(np.float32), BLUR, truncate=4.0))


def smoothed(points: Floats, sd_mm: float) -> Floats:
    """Average a line of points by arclength; the two ends stay."""
    along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))
    weight = np.exp(-0.5 * ((along[:, None] - along) / sd_mm) ** 2)
    # As far to one side as to the other, so that ends aren't drawn inwards.
    room = np.minimum(along, along[-1] - along)[:, None]
    weight[np.abs(along[:, None] - along) > room + 1e-9] = 0.0
    return np.asarray(weight @ points / weight.sum(1, keepdims=True))


def _even(points: Floats, step_mm: float) -> Floats:
    along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))
    new = np.linspace(0, along[-1], max(int(along[-1] / step_mm), 4) + 1)
    return np.stack([np.interp(new, along, points[:, k]) for k in range(3)], 1)


def _add(
    line: Floats,
    is_branch: bool,
    grid: Grid,
    field: npt.NDArray[np.float32],
    fine: float,
    points: list[Floats],
    edges: list[tuple[int, int]],
    radius: list[float],
    depth: Floats,
    notes: list[str],
) -> None:
    """Refine one line and add it to the tree."""
    index = tuple(np.round(grid.to_index(line)).astype(int).T)
    wide = float(np.median(depth[index]))
    line = _even(smoothed(line, max(wide, 1.5 * fine)), 0.75 * fine)
    for _ in range(2):
        centre, found = _across(line, grid, field, fine, wide)
        good = np.isfinite(found)
        line = np.where(good[:, None], centre, line)
        # Neighbours move together: a single plane's wall is rough.
        line = smoothed(line, max(0.5 * wide, fine))
    _, found = _across(line, grid, field, fine, wide)
    line, found = _ends(line, found, wide, is_branch, grid, field, fine, notes)
    first = 0
    if is_branch:
        tree = np.array(points)
        off = np.linalg.norm(tree[:, None] - line[: max(4, int(4 * wide / fine))], axis=2)
        host = int(np.argmin(off[:, 0]))
        # What lies inside the parent's lumen has the branch's own radius at its mouth.
        inside = np.linalg.norm(line - tree[host], axis=1) < radius[host]
        mouth = int(np.argmin(inside)) if not inside.all() else len(line) - 1
        mouth = min(mouth + max(1, int(0.5 * wide / fine)), len(line) - 2)
        found[:mouth] = float(np.median(found[mouth : mouth + max(3, int(wide / fine))]))
        first = max(1, int(np.argmin(inside)) // 2)
        before = host
    else:
        points.append(line[0])
        radius.append(float(found[0]))
        first, before = 1, 0
    for place, r in zip(line[first:], found[first:], strict=True):
        points.append(place)
        radius.append(float(r))
        edges.append((before, len(points) - 1))
        before = len(points) - 1


def _across(
    line: Floats, grid: Grid, field: npt.NDArray[np.float32], fine: float, wide: float
) -> tuple[Floats, Floats]:
    """Return the centre (n, 3) and the radius of equal area (n,), mm, of the section at each point."""
    from scipy.ndimage import map_coordinates

    along = np.gradient(smoothed(line, max(0.7 * wide, fine)), axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    pick = np.eye(3)[np.argmin(np.abs(along), axis=1)]
    u = np.cross(along, pick)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(along, u)
    turn = np.arange(RAYS) * 2 * np.pi / RAYS
    ways = u[:, None] * np.cos(turn)[:, None] + v[:, None] * np.sin(turn)[:, None]
    reach = np.arange(0, 4 * wide + 4 * fine, 0.33 * fine)
    at = line[:, None, None] + ways[:, :, None] * reach[:, None]
    value = map_coordinates(field, np.moveaxis(grid.to_index(at), -1, 0), order=1, mode="constant", cval=0.0)
    out = value < 0.5
    out[..., -1] = True
    n = np.argmax(out, axis=2)
    before = np.take_along_axis(value, np.maximum(n - 1, 0)[..., None], 2)[..., 0]
    after = np.take_along_axis(value, n[..., None], 2)[..., 0]
    share = np.clip((before - 0.5) / np.maximum(before - after, 1e-6), 0, 1)
    wall = np.where(n > 0, (n - 1 + share) * (reach[1] - reach[0]), 0.0)
    outside = value[:, 0, 0] < 0.5
    middle = np.median(wall, axis=1, keepdims=True)
    wall = np.minimum(wall, CLIP * middle)
    # The centroid of the section: r^3 over r^2.
    area = 0.5 * (wall**2).mean(1)
    shift = (ways * (wall**3)[..., None]).mean(1) / 3 / np.maximum(area, 1e-9)[:, None]
    size = np.linalg.norm(shift, axis=1, keepdims=True)
    shift = shift * np.minimum(1, 0.5 * middle / np.maximum(size, 1e-9))
    radius = np.sqrt(2 * area)
    # Blurring draws a convex wall inwards by variance over twice the radius; the interpolation blurs too.
    spread = (BLUR**2 + 1 / 6) * fine**2
    radius = np.where(outside, np.nan, radius + spread / (2 * np.maximum(radius, fine)))
    return line + np.where(outside[:, None], 0.0, shift), np.asarray(radius)


def _ends(
    line: Floats,
    found: Floats,
    wide: float,
    is_branch: bool,
    grid: Grid,
    field: npt.NDArray[np.float32],
    fine: float,
    notes: list[str],
) -> tuple[Floats, Floats]:
    """Cut the last radius off each free end, where rays leave through the face, and go on straight to it."""
    for side in (1,) if is_branch else (0, 1):
        if side == 0:
            line, found = line[::-1], found[::-1]
        along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))))
        good = np.isfinite(found)
        near = found[good & (along > along[-1] - 4 * wide)]
        tip = float(np.median(near)) if len(near) else wide
        keep = max(int(np.searchsorted(along, along[-1] - 2 * tip)), min(4, len(line)))
        line, found = line[:keep], found[:keep]
        way = line[-1] - line[max(0, keep - 1 - int(3 * tip / (0.75 * fine)))]
        way = way / max(float(np.linalg.norm(way)), 1e-9)
        slant = _slant(line[-1], way, tip, grid, field, fine)
        stop = 0.0
        if slant is not None:
            angle, face = slant
            if angle > SLANT_DEG and tip > 2.5 * fine:  # a thinner end has too few voxels to tell
                where = ", ".join(f"{x:.0f}" for x in line[-1])
                notes.append(
                    f"an end at ({where}) mm is cut at {angle:.0f} degrees to its vessel; the tree stops"
                    " before it"
                )
                face -= tip * float(np.tan(np.radians(angle)))
            stop = max(face, 0.0)
        extra = np.arange(0.75 * fine, stop, 0.75 * fine)
        line = np.vstack([line, line[-1] + extra[:, None] * way])
        last = found[-max(3, int(tip / fine)) :]
        found = np.concatenate(
            [found, np.full(len(extra), np.nanmedian(last) if np.isfinite(last).any() else tip)]
        )
        if side == 0:
            line, found = line[::-1], found[::-1]
    gone = ~np.isfinite(found)
    if gone.any() and not gone.all():
        at = np.arange(len(found))
        found = np.interp(at, at[~gone], found[~gone])
    return line, np.array(found)


def _slant(
    place: Floats, way: Floats, tip: float, grid: Grid, field: npt.NDArray[np.float32], fine: float
) -> tuple[float, float] | None:
    """Return the angle (degrees) of the end face and its distance along the vessel (mm), by a plane's fit."""
    from scipy.ndimage import map_coordinates

    u = np.cross(way, np.eye(3)[int(np.argmin(np.abs(way)))])
    u /= np.linalg.norm(u)
    v = np.cross(way, u)
    side = np.linspace(-0.75, 0.75, 7) * tip
    a, b = (x.ravel() for x in np.meshgrid(side, side))
    inside = np.hypot(a, b) <= 0.76 * tip
    a, b = a[inside], b[inside]
    far = np.arange(-2 * tip, 6 * tip, 0.33 * fine)
    at = place + a[:, None, None] * u + b[:, None, None] * v + far[:, None] * way
    value = map_coordinates(field, np.moveaxis(grid.to_index(at), -1, 0), order=1, mode="constant")
    out = value < 0.5
    # From the inside outwards: the face is the first exit.
    first = np.argmax(out, axis=1)
    ok = out.any(1) & (first > 0)
    if ok.sum() < 6:
        return None
    design = np.stack([np.ones(int(ok.sum())), a[ok], b[ok]], 1)
    fit = np.linalg.lstsq(design, far[first[ok]], rcond=None)[0]
    return float(np.degrees(np.arctan(np.hypot(fit[1], fit[2])))), float(fit[0])
