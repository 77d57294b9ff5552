"""The diffusion operator of anisotropic tissue, assembled cell by cell (numba; imported only when needed).

Between the nodes lie the *dual cells*: the box spanned by 2 x 2 x 2 neighbouring nodes. The energy of V,

    E = 1/2 * integral of grad V' D grad V  =  1/2 * sum over cells of V' K V

is summed over them and the operator is minus its derivative. As every K is a sum of squares of differences of
V, the operator is symmetric (the integral of V is conserved), gives nothing for a constant V, and never
raises E: with a time step inside the Gershgorin bound the integral of V^2 cannot grow. That holds for
any fibre field, any mask and any anisotropy, which difference formulas for the cross terms do not give.

How the gradient is taken in a cell decides how much conduction along an oblique fibre leaks across it:

* the smallest eigenvalue of D, and all of a diagonal D, uses the differences along the edges (the 7-point
stencil); * of the rest R (fibres at an angle), a share goes by the mean gradient of the whole cell, which is
blind to no
  direction along the fibre and leaks to sixth order only, the other by the gradient at each corner (19
  points). The share grows from 0 for a fibre on an axis to 1 at about 10 degrees.

A cell that the wall cuts has only some of its corners; each of those uses what edges it has, and no flux
passes where an edge is missing. (Walls through nodes leave cut cells out: then every gradient is complete.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # order of the six entries of a symmetric tensor


@njit(cache=True, error_model="numpy")
def _harmonic(a: Any, b: Any) -> Any:
    """Return the harmonic mean; 0 where either is 0."""
    return 0.0 if a * b <= 0.0 else 2.0 * a * b / (a + b)


# Bit of a corner's number that is set where the corner lies on the far side along k, r, c.
BITS = (4, 2, 1)


@njit(cache=True, error_model="numpy")
def _edge(q: Any, axis: Any, spacing: Any, c: Any) -> Any:
    """Return the factor of V(far corner) - V(q) in the gradient: signed, with the coupling's root."""
    root = np.sqrt(_harmonic(c[q], c[q ^ BITS[axis]])) / spacing[axis]
    return -root if q & BITS[axis] else root


@njit(cache=True, error_model="numpy")
def _corner(K: Any, q: Any, share: Any, R: Any, axes: Any, spacing: Any, c: Any, there: Any) -> Any:
    """Add the energy of one corner's gradient, from the edges that meet there."""
    for a in range(3):
        qa = q ^ BITS[a]
        if not axes[a] or not there[qa]:
            continue
        for b in range(3):
            qb = q ^ BITS[b]
            if not axes[b] or not there[qb]:
                continue
            t = share * R[a, b] * _edge(q, a, spacing, c) * _edge(q, b, spacing, c)
            K[qa, qb] += t
            K[qa, q] -= t
            K[q, qb] -= t
            K[q, q] += t


@njit(cache=True, error_model="numpy")
def _tensor(R: Any, rest: Any, weight: Any) -> Any:
    """Add a weighted tensor, given by its six entries."""
    for p in range(6):
        a, b = PAIRS[p]
        R[a, b] += weight * rest[p]
        if a != b:
            R[b, a] += weight * rest[p]


@njit(cache=True, error_model="numpy")
def _cut_cell(K: Any, corners: Any, at: Any, axes: Any, spacing: Any, least: Any, rest: Any, c: Any) -> Any:
    """Add the energy of a cell that lacks corners."""
    there = at >= 0
    for q in corners:
        if there[q]:
            R = np.eye(3) * least[at[q]]
            _tensor(R, rest[at[q]], 1.0)
            _corner(K, q, 1.0 / len(corners), R, axes, spacing, c, there)


@njit(cache=True, error_model="numpy")
def _whole_cell(K: Any, corners: Any, at: Any, axes: Any, spacing: Any, least: Any, rest: Any, c: Any) -> Any:
    """Add the energy of a cell with all its corners."""
    n = len(corners)
    R = np.zeros((3, 3))
    low = 0.0
    for q in corners:
        low += least[at[q]] / n
        _tensor(R, rest[at[q]], 1.0 / n)
    A = np.zeros((3, 8))  # the mean gradient, as factors of V at the corners
    edges = n // 2
    for a in range(3):
        if not axes[a]:
            continue
        for q in corners:
            if not q & BITS[a]:
                p = q ^ BITS[a]
                g = _edge(q, a, spacing, c)
                K[q, p] -= low * g * g / edges
                K[p, q] -= low * g * g / edges
                A[a, q] -= g / edges
                A[a, p] += g / edges
    trace = R[0, 0] + R[1, 1] + R[2, 2]
    if trace <= 0.0:
        return
    share = min(1.0, 40.0 * (R[0, 1] ** 2 + R[0, 2] ** 2 + R[1, 2] ** 2) / (trace * trace))
    if share < 1.0:
        there = at >= 0
        for q in corners:
            _corner(K, q, (1.0 - share) / n, R, axes, spacing, c, there)
    if share > 0.0:
        for a in range(3):
            for b in range(3):
                for q in corners:
                    for p in corners:
                        K[q, p] += share * R[a, b] * A[a, q] * A[b, p]


@njit(cache=True, error_model="numpy")
def _scatter(K: Any, corners: Any, at: Any, place: Any, direction: Any, weights: Any) -> Any:
    """Add a cell's couplings, the same number to both ends of each."""
    for q in corners:
        for p in corners:
            if p <= q or at[q] < 0 or at[p] < 0:
                continue
            e = -0.5 * (K[q, p] + K[p, q])
            dk, dr, dc = ((p >> 2) & 1) - ((q >> 2) & 1), ((p >> 1) & 1) - ((q >> 1) & 1), (p & 1) - (q & 1)
            i, j = place[at[q]], place[at[p]]
            weights[i // 512, direction[dk + 1, dr + 1, dc + 1], i % 512] += e
            weights[j // 512, direction[1 - dk, 1 - dr, 1 - dc], j % 512] += e


@njit(cache=True, error_model="numpy")
def _look(lane: Any, k: Any, r: Any, x: Any, corners: Any, coupling: Any, at: Any, c: Any) -> Any:
    """Write the lanes and the coupling of a cell's corners; return how many corners are tissue."""
    have = 0
    for q in corners:
        i = lane[k + ((q >> 2) & 1), r + ((q >> 1) & 1), x + (q & 1)]
        at[q] = i
        have += i >= 0
        c[q] = coupling[i] if i >= 0 else 0.0
    return have


@njit(cache=True, error_model="numpy")
def _energy(
    K: Any, have: Any, corners: Any, at: Any, axes: Any, spacing: Any, least: Any, rest: Any, c: Any
) -> Any:
    """Write a cell's matrix."""
    K[:] = 0
    if have < len(corners):
        _cut_cell(K, corners, at, axes, spacing, least, rest, c)
    else:
        _whole_cell(K, corners, at, axes, spacing, least, rest, c)


@njit(cache=True, error_model="numpy")
def _corners(axes: Any) -> Any:
    """Return which of a cell's eight corners exist: all, or those of a sheet or a cable."""
    used = np.zeros(8, np.bool_)
    for n in range(8):
        used[n] = (axes[0] or not n & 4) and (axes[1] or not n & 2) and (axes[2] or not n & 1)
    return np.flatnonzero(used)


@njit(cache=True, error_model="numpy")
def assemble(
    lane: Any,
    place: Any,
    axes: Any,
    spacing: Any,
    least: Any,
    rest: Any,
    coupling: Any,
    whole_only: Any,
    direction: Any,
    weights: Any,
    mass: Any,
) -> Any:
    """Add every cell's energy to the table of weights.

    Parameters
    ----------
    lane : (k + 2, r + 2, c + 2) int32
        The lane of each voxel, -1 outside the tissue; one voxel of rim.
    place : (lanes,) int32
        ``brick * 512 + slot`` of a lane.
    axes : (3,) bool
        Axes longer than one node.
    spacing : (3,) float64, mm
    least : (lanes,) float, mm2/ms
        Smallest eigenvalue of the tensor.
    rest : (lanes, 6) float, mm2/ms
        The tensor less ``least`` times one, in the order of ``PAIRS``.
    coupling : (lanes,) float
    whole_only : bool
        Leave out the cells that lack a corner (walls through nodes).
    direction : (3, 3, 3) int64
        Column of the table of a neighbour, by its step plus 1.
    weights : (bricks, 26, 512) float
        Zeros; becomes ``c_ij``, 1/ms.
    mass : (lanes,) float64
        Zeros; becomes the volume of a node in voxels.
    """
    corners = _corners(axes)
    m = len(corners)
    K = np.zeros((8, 8))
    c = np.zeros(8)
    at = np.full(8, -1)
    nk, nr, nc = lane.shape
    for k in range(0 if axes[0] else 1, nk - 1):
        for r in range(0 if axes[1] else 1, nr - 1):
            for x in range(0 if axes[2] else 1, nc - 1):
                have = _look(lane, k, r, x, corners, coupling, at, c)
                if have == 0 or (whole_only and have < m):
                    continue
                for q in corners:
                    if at[q] >= 0:
                        mass[at[q]] += 1.0 / m
                _energy(K, have, corners, at, axes, spacing, least, rest, c)
                _scatter(K, corners, at, place, direction, weights)


@njit(cache=True, error_model="numpy")
def product(
    lane: Any,
    axes: Any,
    spacing: Any,
    least: Any,
    rest: Any,
    coupling: Any,
    whole_only: Any,
    z: Any,
    out: Any,
) -> Any:
    """Add ``-A z`` to ``out``, both (lanes, columns) float64, without a table; the rest as in `assemble`."""
    corners = _corners(axes)
    m = len(corners)
    K = np.zeros((8, 8))
    c = np.zeros(8)
    at = np.full(8, -1)
    nk, nr, nc = lane.shape
    for k in range(0 if axes[0] else 1, nk - 1):
        for r in range(0 if axes[1] else 1, nr - 1):
            for x in range(0 if axes[2] else 1, nc - 1):
                have = _look(lane, k, r, x, corners, coupling, at, c)
                if have < 2 or (whole_only and have < m):
                    continue
                _energy(K, have, corners, at, axes, spacing, least, rest, c)
                for q in corners:
                    for p in corners:
                        if p > q and at[q] >= 0 and at[p] >= 0:
                            e = -0.5 * (K[q, p] + K[p, q])
                            for n in range(z.shape[1]):
                                flow = e * (z[at[p], n] - z[at[q], n])
                                out[at[q], n] += flow
                                out[at[p], n] -= flow
