"""Loops over the voxels of the heart's wall, compiled; imported only where they run.

Voxels of muscle are numbered 0 to n - 1 in the order of the grid. ``links[i, j]`` is what lies next to
voxel i on side j (j = 0, 1: before and after along k; 2, 3: r; 4, 5: c): the number of a voxel of the same
ventricle, or `CLOSED` (nothing passes: the cut base, the other ventricle seen from the right one), `INNER`
(the endocardium, value 1) or `OUTER` (the epicardium, the right side of the septum; value 0). ``cut[i, j]``
is how far the surface lies on the way to that neighbour, in 1/250 of the spacing: a surface between voxels
is placed where the smoothed share of what lies beyond reaches one half, which takes the stairs out of it.
"""

# mypy: disable-error-code="untyped-decorator"
# numba has no types: its decorator would otherwise refuse every function here.

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

CLOSED, INNER, OUTER = -1, -2, -3
_WHOLE = 250.0
_FLAT = 1e-4  # change of the potential per voxel below which it is the solver's noise
_LV_WALL, _SEPTUM, _RV_WALL, _LV_CAVITY, _RV_CAVITY, _OPENING = 1, 2, 3, 4, 5, 6


@njit(cache=True)
def _share(labels: Array, k: int, r: int, c: int, beyond: int, right: bool, bell: Array) -> float:
    """Smoothed share of labels in the set ``beyond`` (bits) among them and this side's muscle."""
    inside, outside = 0.0, 0.0
    reach = len(bell) // 2
    for dk in range(-reach, reach + 1):
        for dr in range(-reach, reach + 1):
            for dc in range(-reach, reach + 1):
                kk, rr, cc = k + dk, r + dr, c + dc
                if 0 <= kk < labels.shape[0] and 0 <= rr < labels.shape[1] and 0 <= cc < labels.shape[2]:
                    label = labels[kk, rr, cc]
                    weight = bell[dk + reach] * bell[dr + reach] * bell[dc + reach]
                    if (beyond >> label) & 1:
                        outside += weight
                    elif label in (_LV_WALL, _SEPTUM) or (right and label == _RV_WALL):
                        inside += weight
    return outside / (inside + outside) if inside + outside > 0.0 else 0.5


@njit(cache=True)
def build_links(labels: Array, number: Array, where: Array, links: Array, cut: Array, bell: Array) -> None:
    """Fill ``links`` (n, 6) int32 and ``cut`` (n, 6) uint8 from the labels."""
    nk, nr, nc = labels.shape
    for i in range(len(where)):
        k, rest = divmod(where[i], nr * nc)
        r, c = divmod(rest, nc)
        own = labels[k, r, c]
        right = own == _RV_WALL
        for j in range(6):
            step = 1 if j % 2 else -1
            kk = k + (step if j // 2 == 0 else 0)
            rr = r + (step if j // 2 == 1 else 0)
            cc = c + (step if j // 2 == 2 else 0)
            cut[i, j] = 125
            if not (0 <= kk < nk and 0 <= rr < nr and 0 <= cc < nc):
                links[i, j] = OUTER
                continue
            other = labels[kk, rr, cc]
            if other == _OPENING:
                links[i, j] = CLOSED
                continue
            if _LV_WALL <= other <= _RV_WALL:
                if right == (other == _RV_WALL):
                    links[i, j] = number[kk, rr, cc]
                    continue
                if right:
                    links[i, j] = CLOSED
                    continue
            inner = other == (_RV_CAVITY if right else _LV_CAVITY)
            links[i, j] = INNER if inner else OUTER
            if inner:
                beyond = 1 << other
            elif right:
                beyond = (1 << 0) | (1 << _LV_CAVITY)
            else:
                beyond = (1 << 0) | (1 << _RV_CAVITY) | (1 << _RV_WALL)
            here = _share(labels, k, r, c, beyond, right, bell)
            there = _share(labels, kk, rr, cc, beyond, right, bell)
            if there > here:
                way = (0.5 - here) / (there - here)
                cut[i, j] = np.uint8(min(max(way, 0.1), 1.0) * _WHOLE)


@njit(cache=True)
def _apply(links: Array, diagonal: Array, weight: Array, p: Array, out: Array) -> float:
    """Apply the Laplacian; return p . out."""
    total = 0.0
    for i in range(len(p)):
        value = diagonal[i] * p[i]
        for j in range(6):
            other = links[i, j]
            if other >= 0:
                value -= weight[j // 2] * p[other]
        out[i] = value
        total += value * p[i]
    return total


@njit(cache=True)
def solve(links: Array, cut: Array, weight: Array, tolerance: float, most: int, x: Array) -> int:
    """Solve Laplace's equation by conjugate gradients, Jacobi preconditioner; returns the iterations.

    Links to a surface weigh ``1 / cut`` (Gibou 2002, doi:10.1006/jcph.2001.6977: symmetric, second order).
    ``x`` (n,) float32 holds the first guess and then the solution; -1 iterations if it did not converge.
    """
    n = len(x)
    diagonal, r = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for i in range(n):
        for j in range(6):
            w = weight[j // 2]
            if links[i, j] == CLOSED:
                continue
            if links[i, j] < 0:
                w = w * np.float32(_WHOLE) / np.float32(cut[i, j])
                if links[i, j] == INNER:
                    r[i] += w
            diagonal[i] += w
        if diagonal[i] == 0.0:  # a voxel on its own
            diagonal[i] = 1.0
    norm = 0.0
    for i in range(n):
        norm += r[i] * r[i] / diagonal[i]
    p, ap = np.empty(n, np.float32), np.empty(n, np.float32)
    _apply(links, diagonal, weight, x, ap)
    rho = 0.0
    for i in range(n):
        r[i] -= ap[i]
        p[i] = r[i] / diagonal[i]
        rho += r[i] * p[i]
    for step in range(most):
        if rho <= tolerance * tolerance * norm:
            return step
        alpha = np.float32(rho / _apply(links, diagonal, weight, p, ap))
        new = 0.0
        for i in range(n):
            x[i] += alpha * p[i]
            r[i] -= alpha * ap[i]
            new += r[i] * r[i] / diagonal[i]
        beta = np.float32(new / rho)
        rho = new
        for i in range(n):
            p[i] = r[i] / diagonal[i] + beta * p[i]
    return -1


@njit(cache=True)
def outwards(links: Array, cut: Array, spacing: Array, x: Array, out: Array) -> None:
    """Unit vectors (n, 3) from inside to outside, grid axes: down the gradient of ``x``; 0 where flat."""
    for i in range(len(x)):
        norm = 0.0
        for a in range(3):
            h, value = np.zeros(2), np.zeros(2)
            open_ = np.zeros(2, np.bool_)
            for s in range(2):
                other = links[i, 2 * a + s]
                if other >= 0:
                    h[s], value[s], open_[s] = spacing[a], x[other], True
                elif other != CLOSED:
                    h[s] = spacing[a] * cut[i, 2 * a + s] / _WHOLE
                    value[s], open_[s] = (1.0 if other == INNER else 0.0), True
            slope = 0.0
            if open_[0] and open_[1]:
                back, ahead = (x[i] - value[0]) / h[0], (value[1] - x[i]) / h[1]
                slope = (back * h[1] + ahead * h[0]) / (h[0] + h[1])
            elif open_[0]:
                slope = (x[i] - value[0]) / h[0]
            elif open_[1]:
                slope = (value[1] - x[i]) / h[1]
            out[i, a] = -slope
            norm += slope * slope
        norm = np.sqrt(norm)
        flat = norm * min(spacing) < _FLAT
        for a in range(3):
            out[i, a] = 0.0 if flat else out[i, a] / norm


@njit(cache=True)
def even(links: Array, out: Array, fresh: Array) -> None:
    """Mean of each unit vector and its neighbours', made unit again, into ``fresh``.

    The gradient is least sure in the last layer of voxels, where it rests on the place of the surface.
    """
    for i in range(len(out)):
        norm = 0.0
        for a in range(3):
            total = out[i, a]
            for j in range(6):
                if links[i, j] >= 0:
                    total += out[links[i, j], a]
            fresh[i, a] = total
            norm += total * total
        norm = np.sqrt(norm)
        for a in range(3):
            fresh[i, a] = fresh[i, a] / norm if norm > 0.0 else out[i, a]


@njit(cache=True)
def way_from(
    links: Array,
    cut: Array,
    spacing: Array,
    out: Array,
    order: Array,
    surface: int,
    sign: float,
    length: Array,
) -> None:
    """Length (n,) of the way along the field ``out`` to a surface (`INNER` or `OUTER`), mm.

    First-order upwind, in one pass because voxels come in the ``order`` of the potential (Yezzi and Prince
    2003, doi:10.1109/TMI.2003.817775). ``sign`` is 1 from inside, -1 from outside.
    """
    done = np.zeros(len(length), np.bool_)
    for i in order:
        top, bottom = 1.0, 0.0
        for a in range(3):
            part = sign * out[i, a]
            j = 2 * a + (0 if part > 0.0 else 1)
            other = links[i, j]
            if other >= 0 and done[other]:
                share = abs(part) / spacing[a]
                top += share * length[other]
                bottom += share
            elif other == surface:
                bottom += abs(part) / (spacing[a] * cut[i, j] / _WHOLE)
        length[i] = top / bottom if bottom > 0.0 else 0.5 * min(spacing)
        done[i] = True


@njit(cache=True)
def lay(
    out: Array,
    depth: Array,
    right: Array,
    up: Array,
    side: Array,
    hand: float,
    angles: Array,
    fibre: Array,
    sheet: Array,
) -> None:
    """Fibre and sheet (n, 3) from the wall's normal, the depth and the rule's angles (2, 4) rad.

    ``up`` points from apex to base, ``side`` to the septum (both grid axes); ``hand`` is -1 on a
    left-handed grid.
    """
    c, along = np.empty(3), np.empty(3)
    for i in range(len(depth)):
        n = out[i]
        v = 1 if right[i] else 0
        rise = up[0] * n[0] + up[1] * n[1] + up[2] * n[2]
        best = side if abs(rise) > 0.9995 else up  # straight at the tip there is no way up
        dot = best[0] * n[0] + best[1] * n[1] + best[2] * n[2]
        norm = 0.0
        for a in range(3):
            along[a] = best[a] - dot * n[a]
            norm += along[a] * along[a]
        norm = np.sqrt(norm)
        for a in range(3):
            along[a] /= norm
        _cross(along, n, hand, c)
        alpha = angles[v, 0] + (angles[v, 1] - angles[v, 0]) * depth[i]
        beta = angles[v, 2] + (angles[v, 3] - angles[v, 2]) * depth[i]
        for a in range(3):
            fibre[i, a] = np.cos(alpha) * c[a] + np.sin(alpha) * along[a]
        _sheet(fibre[i], n, beta, hand, sheet[i])


@njit(cache=True)
def _cross(u: Array, v: Array, hand: float, out: Array) -> None:
    out[0] = hand * (u[1] * v[2] - u[2] * v[1])
    out[1] = hand * (u[2] * v[0] - u[0] * v[2])
    out[2] = hand * (u[0] * v[1] - u[1] * v[0])


@njit(cache=True)
def _sheet(fibre: Array, normal: Array, beta: float, hand: float, sheet: Array) -> None:
    """Turn the wall's normal, made perpendicular to the fibre, by ``beta`` about the fibre."""
    dot = fibre[0] * normal[0] + fibre[1] * normal[1] + fibre[2] * normal[2]
    flat, turned = np.empty(3), np.empty(3)
    norm = 0.0
    for a in range(3):
        flat[a] = normal[a] - dot * fibre[a]
        norm += flat[a] * flat[a]
    norm = np.sqrt(norm)
    for a in range(3):
        flat[a] /= norm
    _cross(fibre, flat, hand, turned)
    for a in range(3):
        sheet[a] = np.cos(beta) * flat[a] + np.sin(beta) * turned[a]


@njit(cache=True)
def near_seam(number: Array, where: Array, right: Array, reach: int) -> Array:
    """Numbers of voxels that see muscle of the other ventricle straight or diagonally within ``reach``."""
    nk, nr, nc = number.shape
    found = np.zeros(len(where), np.bool_)
    for i in range(len(where)):
        k, rest = divmod(where[i], nr * nc)
        r, c = divmod(rest, nc)
        for dk in range(-1, 2):
            for dr in range(-1, 2):
                for dc in range(-1, 2):
                    if found[i]:
                        break
                    for m in range(1, reach + 1):
                        kk, rr, cc = k + m * dk, r + m * dr, c + m * dc
                        if not (0 <= kk < nk and 0 <= rr < nr and 0 <= cc < nc):
                            break
                        other = number[kk, rr, cc]
                        if other < 0:
                            break
                        if right[other] != right[i]:
                            found[i] = True
                            break
    return np.flatnonzero(found)


@njit(cache=True)
def _main_axis(t: Array, start: Array, out: Array) -> None:
    """The main axis of a symmetric tensor: five squarings are 32 steps of the power method."""
    square = np.empty((3, 3))
    for _ in range(5):
        trace = t[0, 0] + t[1, 1] + t[2, 2]
        for a in range(3):
            for b in range(3):
                square[a, b] = (t[a, 0] * t[0, b] + t[a, 1] * t[1, b] + t[a, 2] * t[2, b]) / (trace * trace)
        t[:] = square
    norm = 0.0
    for a in range(3):
        square[0, a] = t[a, 0] * start[0] + t[a, 1] * start[1] + t[a, 2] * start[2]
        norm += square[0, a] ** 2
    norm = np.sqrt(norm)
    for a in range(3):
        out[a] = square[0, a] / norm if norm > 1e-9 else start[a]


@njit(cache=True)
def blend(
    number: Array,
    where: Array,
    right: Array,
    seam: Array,
    bell: Array,
    stride: int,
    out: Array,
    depth: Array,
    hand: float,
    angles: Array,
    fibre: Array,
    sheet: Array,
) -> None:
    """Smooth the fibres near the seam of the two ventricles: the main axis of the mean of ``f f^T``.

    Sheets follow. Fibres have no sign, so their tensors are averaged, not the vectors.
    """
    nk, nr, nc = number.shape
    reach = len(bell) // 2
    fresh = np.empty((len(seam), 3), np.float32)
    for m in range(len(seam)):
        i = seam[m]
        k, rest = divmod(where[i], nr * nc)
        r, c = divmod(rest, nc)
        t = np.zeros((3, 3))
        for dk in range(-reach, reach + 1):
            for dr in range(-reach, reach + 1):
                for dc in range(-reach, reach + 1):
                    kk, rr, cc = k + stride * dk, r + stride * dr, c + stride * dc
                    if 0 <= kk < nk and 0 <= rr < nr and 0 <= cc < nc and number[kk, rr, cc] >= 0:
                        f = fibre[number[kk, rr, cc]]
                        w = bell[dk + reach] * bell[dr + reach] * bell[dc + reach]
                        for a in range(3):
                            for b in range(3):
                                t[a, b] += w * f[a] * f[b]
        _main_axis(t, fibre[i], fresh[m])
    for m in range(len(seam)):
        i = seam[m]
        fibre[i] = fresh[m]
        a = 1 if right[i] else 0
        beta = angles[a, 2] + (angles[a, 3] - angles[a, 2]) * depth[i]
        _sheet(fibre[i], out[i], beta, hand, sheet[i])
