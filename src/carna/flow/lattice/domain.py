"""From a shape to nodes: which lattice points hold blood, who is whose neighbour, where each link is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.lattice.shape import Shape
from carna.flow.lattice.stencil import MOVES, OPPOSITE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK: Final = 128
RUN: Final = 16  # nodes that are moved at once where they are neighbours in memory
FEWEST: Final = 5  # nodes across an opening


@final
@dataclass(frozen=True, slots=True)
class Opening:
    """A flat end of the lumen.

    Parameters
    ----------
    centre_mm : (3,) float
    outward : (3,) float
        Out of the blood, any length. Along an axis the plane is met to second order, else to first.
    radius_mm : float
        Of the lumen there.
    """

    centre_mm: tuple[float, float, float]
    outward: tuple[float, float, float]
    radius_mm: float

    def beyond(self, at: Floats) -> Floats:
        """Return how far points (n, 3) lie beyond the plane, mm."""
        n = np.asarray(self.outward, float)
        return np.asarray((at - np.asarray(self.centre_mm)) @ n / np.linalg.norm(n))

    def aside(self, at: Floats) -> Floats:
        """Return the distance of points (n, 3) from the opening's axis, mm."""
        n = np.asarray(self.outward, float) / np.linalg.norm(self.outward)
        d = at - np.asarray(self.centre_mm)
        return np.asarray(np.linalg.norm(d - np.outer(d @ n, n), axis=1))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """Nodes full of blood.

    Attributes
    ----------
    points_mm : (n, 3) float
        Sorted along the longest side.
    dx_mm : float
    table : (19, padded) int32
        Where the population that leaves a node with each velocity arrives.
    runs : (19, padded / 16) int32
        The first entry where 16 of the table are consecutive, else -1.
    wall : (w, 4) int32, share : (w, 3) float, at : (w,) int
        Interpolated walls: three slots and that at rest, coefficients; the node of each link.
    link : (m, 5) int32
        Links through openings: slot, velocity, opening, -, place in `edge`.
    edge : (e,) int32
        Nodes at openings.
    shape : Shape
    openings : tuple of Opening
    """

    points_mm: Floats
    dx_mm: float
    table: npt.NDArray[np.int32]
    runs: npt.NDArray[np.int32]
    wall: npt.NDArray[np.int32]
    share: Floats
    at: Ints
    link: npt.NDArray[np.int32]
    edge: npt.NDArray[np.int32]
    shape: Shape
    openings: tuple[Opening, ...]
    cells: Ints = field(repr=False)

    def __len__(self) -> int:
        return len(self.points_mm)


def domain(
    shape: Shape,
    dx_mm: float,
    low_mm: npt.ArrayLike,
    high_mm: npt.ArrayLike,
    openings: tuple[Opening, ...] = (),
    *,
    periodic: tuple[bool, bool, bool] = (False, False, False),
    mirror: tuple[bool, bool, bool] = (False, False, False),
) -> Domain:
    """Fill a shape with nodes.

    Parameters
    ----------
    shape : Shape
    dx_mm : float
        Distance of the nodes, mm, > 0; at least 5 across the narrowest place, 16 per diameter for 1 %.
    low_mm, high_mm : (3,) float
        Box; nodes lie at low + dx (i + 1/2).
    openings : tuple of Opening
    periodic : three bool
        Sides that continue on the other side.
    mirror : three bool
        The low side is a plane of symmetry.

    Raises
    ------
    InputError
        Empty, too coarse, or an opening without blood behind it.
    """
    low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
    size = np.round((high - low) / dx_mm).astype(np.int64) if dx_mm > 0 else np.zeros(3, np.int64)
    if (size < 1).any():
        raise InputError(
            f"a box of {high - low} mm at dx {dx_mm:g} mm", needed="at least one node along each side"
        )
    inside = _fill(shape, dx_mm, low, size, openings)
    if not openings and any(periodic):
        keep = inside
    else:
        from scipy.ndimage import label

        parts, _ = label(inside)
        counts = np.bincount(parts.ravel())
        counts[0] = 0
        keep = (parts == counts.argmax()) & inside
    if not keep.any():
        raise InputError("no node lies inside the shape", needed="a box and a dx that meet the lumen")
    # The longest side varies fastest, so that neighbours are neighbours in memory too.
    order = np.argsort(size, kind="stable")
    cells = np.argwhere(keep.transpose(order))[:, np.argsort(order)]
    count = len(cells)
    padded = -(-count // BLOCK) * BLOCK
    if padded * 19 > np.iinfo(np.int32).max:
        raise InputError(f"{count} nodes", needed="at most 113 million", fix="a larger dx_mm")
    table, missing = _table(keep, cells, padded, size, periodic, mirror)
    points = low + (cells + 0.5) * dx_mm
    wall, share, at, link = _cuts(shape, points, dx_mm, table, missing, padded, openings)
    for n, opening in enumerate(openings):
        if len(np.unique(link[link[:, 2] == n, 0] % padded)) < FEWEST**2 / 2:
            raise InputError(
                f"opening {n} at {opening.centre_mm} meets fewer than {FEWEST} nodes across",
                needed="blood on its inner side",
                fix="turn `outward` round, move it into the lumen, or use a smaller dx_mm",
            )
    edge, who = np.unique(link[:, 0] % padded, return_inverse=True)
    link[:, 4] = who
    first = table.reshape(19, -1, RUN)
    runs = np.where((np.diff(first, axis=2) == 1).all(axis=2), first[:, :, 0], -1).astype(np.int32)
    return Domain(
        points, dx_mm, table, runs, wall, share, at, link, edge.astype(np.int32), shape, openings, cells
    )


def _fill(
    shape: Shape, dx_mm: float, low: Floats, size: Ints, openings: tuple[Opening, ...]
) -> npt.NDArray[np.bool_]:
    inside = np.zeros(tuple(size), bool)
    y, z = np.meshgrid(*(low[d] + (np.arange(size[d]) + 0.5) * dx_mm for d in (1, 2)), indexing="ij")
    for i in range(size[0]):
        at = np.stack([np.full(y.size, low[0] + (i + 0.5) * dx_mm), y.ravel(), z.ravel()], axis=1)
        good = shape.distance(at) < 0
        for opening in openings:
            depth = opening.beyond(at[good])
            # A slab four cells thick is enough to cut the lumen in two.
            good[good] = (
                (depth <= 0) | (depth > 4 * dx_mm) | (opening.aside(at[good]) > 1.5 * opening.radius_mm)
            )
        inside[i] = good.reshape(y.shape)
    return inside


def _table(
    keep: npt.NDArray[np.bool_],
    cells: Ints,
    padded: int,
    size: Ints,
    periodic: tuple[bool, bool, bool],
    mirror: tuple[bool, bool, bool],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    number = np.full(keep.shape, -1, np.int64)
    number[tuple(cells.T)] = np.arange(len(cells))
    names = {tuple(c): q for q, c in enumerate(MOVES.tolist())}
    table = np.empty((19, padded), np.int32)
    missing = np.zeros((19, len(cells)), bool)
    for q, move in enumerate(MOVES):
        to = cells + move
        arrives = np.full(len(cells), q)
        out = np.zeros(len(cells), bool)
        flip = np.zeros((len(cells), 3), bool)
        for d in range(3):
            if periodic[d]:
                to[:, d] %= size[d]
            elif mirror[d]:
                flip[:, d] = to[:, d] < 0
                to[flip[:, d], d] = 0
            out |= (to[:, d] < 0) | (to[:, d] >= size[d])
        if flip.any():
            for sign in np.unique(flip, axis=0):
                rows = (flip == sign).all(axis=1)
                arrives[rows] = names[tuple((move * np.where(sign, -1, 1)).tolist())]
        to[out] = 0
        near = np.where(out, -1, number[tuple(to.T)])
        missing[q] = near < 0
        table[q] = OPPOSITE[q] * padded + np.arange(padded)
        table[q, : len(cells)] = np.where(
            near < 0, OPPOSITE[q] * padded + np.arange(len(cells)), arrives * padded + near
        )
    return table, missing


def _cuts(
    shape: Shape,
    points: Floats,
    dx_mm: float,
    table: npt.NDArray[np.int32],
    missing: npt.NDArray[np.bool_],
    padded: int,
    openings: tuple[Opening, ...],
) -> tuple[npt.NDArray[np.int32], Floats, Ints, npt.NDArray[np.int32]]:
    walls, shares, nodes, links = [], [], [], []
    for leaves in range(1, 19):
        q = OPPOSITE[leaves]  # what comes back
        at = np.flatnonzero(missing[leaves])
        step = MOVES[leaves] * dx_mm
        # At the rim a link may meet both: the opening has those that cross its plane inside the lumen.
        which = np.full(len(at), -1)
        within = shape.distance(points[at] + 0.5 * step) < 0
        for n, opening in enumerate(openings):
            ends = (opening.beyond(points[at] + step) > 0) & (opening.beyond(points[at]) <= 0)
            which[within & ends & (opening.aside(points[at]) < 1.5 * opening.radius_mm)] = n
        solid = which < 0
        through, zero = at[~solid], np.zeros((~solid).sum(), np.int64)
        links.append(np.stack([q * padded + through, zero + q, which[~solid], zero, zero], 1))
        at = at[solid]
        cut = _where(shape, points[at], step)
        second = table[q, at].astype(np.int64)
        # Without a second node behind, or without knowledge, the wall stays halfway.
        plain = (second == leaves * padded + at) | shape.halfway
        cut[plain] = 0.5
        lean = (1 - 2 * cut) / (1 + 2 * cut)
        shares.append(np.stack([1 + 0 * lean, lean, -lean], 1))
        walls.append(np.stack([q * padded + at, second, leaves * padded + at, at], 1))
        nodes.append(at)
    wall, share, node = np.concatenate(walls), np.concatenate(shares), np.concatenate(nodes)
    real = share[:, 1] != 0
    link = np.concatenate(links)
    return wall[real].astype(np.int32), share[real], node[real], link.astype(np.int32)


def _where(shape: Shape, at: Floats, step: Floats) -> Floats:
    """Return the share of a link that lies inside, by halving (the sign is all a shape must have right)."""
    near, far = np.zeros(len(at)), np.ones(len(at))
    for _ in range(22):
        middle = 0.5 * (near + far)
        outside = shape.distance(at + middle[:, None] * step) >= 0
        far, near = np.where(outside, middle, far), np.where(outside, near, middle)
    return np.maximum(0.5 * (near + far), 0.15)
